package policy

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatepost.dev/gatepost/policy/bounds"
)

func (c *checker) cors(field string, s *CORS) {
	bounds.OneOf(&c.Checker, field+".mode", "mode", s.Mode, CORSGateway, CORSPassthrough)
	c.Count(field+".allowOrigins", len(s.AllowOrigins), 0, 64)
	for i, origin := range s.AllowOrigins {
		c.origin(bounds.At(field+".allowOrigins", i), origin)
	}
	bounds.Unique(&c.Checker, field+".allowOrigins", s.AllowOrigins)
	c.methods(field+".allowMethods", s.AllowMethods, 0)
	c.Texts(field+".allowHeaders", s.AllowHeaders, 64, bounds.AnyHeader)
	c.Texts(field+".exposeHeaders", s.ExposeHeaders, 64, bounds.AnyHeader)
	c.duration(field+".maxAge", s.MaxAge, 0, 24*time.Hour)
	all := slices.Contains(s.AllowOrigins, "*")
	switch {
	case !s.AllowCredentials:
	case all:
		c.Fail(field+".allowOrigins", "may not contain * when allowCredentials is true: list the origins")
	case slices.Contains(s.AllowHeaders, "*"):
		c.Fail(field+".allowHeaders", "may not contain * when allowCredentials is true: list the headers")
	case slices.Contains(s.ExposeHeaders, "*"):
		c.Fail(field+".exposeHeaders", "may not contain * when allowCredentials is true: list the headers")
	}
	if all && len(s.AllowOrigins) > 1 {
		c.Warn(field+".allowOrigins", "contains *: the other origins change nothing")
	}
	if len(s.AllowOrigins) == 0 {
		c.Warn(field+".allowOrigins", "is empty: no page of another origin can read an answer")
	}
}

// sendable warns of allowed headers among which there is none that carries a
// credential. With tokens, API keys are not for pages.
func (c *checker) sendable(s *Spec) {
	if s.CORS == nil || s.CORS.Mode == CORSPassthrough {
		return
	}
	allowed := s.CORS.AllowHeaders
	if len(allowed) == 0 {
		allowed = defaultAllowHeaders()
	}
	carriers, what := carriers(s)
	for _, name := range carriers {
		if slices.ContainsFunc(allowed, func(h string) bool { return h == "*" || EqualFoldASCII(h, name) || EqualFoldASCII(name, "cookie") }) {
			return
		}
	}
	if len(carriers) > 0 {
		c.Warn("spec.cors.allowHeaders", "leaves out %s: no page of another origin can send its %s; add it", carriers[0], what)
	}
}

// carriers are the headers in which pages send what they identify themselves with.
func carriers(s *Spec) (names []string, what string) {
	switch {
	case s.JWT != nil && s.JWT.ExtractFrom == nil:
		return []string{"Authorization"}, "token"
	case s.JWT != nil:
		for _, h := range s.JWT.ExtractFrom.Headers {
			names = append(names, h.Name)
		}
		return names, "token"
	case s.APIKeyAuth != nil && len(s.APIKeyAuth.ExtractFrom) == 0:
		return []string{"X-API-Key"}, "API key"
	case s.APIKeyAuth != nil:
		for _, source := range s.APIKeyAuth.ExtractFrom {
			names = append(names, source.Header)
		}
	}
	return names, "API key"
}

var originForm = regexp.MustCompile(`^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

// origin checks one origin as browsers send it (RFC 6454 section 6.2).
func (c *checker) origin(field, origin string) {
	c.Text(field, origin, bounds.Form{Most: 512})
	if origin == "" || origin == "*" {
		return
	}
	u, err := url.Parse(origin)
	if err != nil {
		u = &url.URL{}
	}
	if problem := originProblem(origin, u); problem != "" {
		c.Fail(field, "%s", problem)
		return
	}
	if port, ok := defaultPorts()[u.Scheme]; ok && u.Port() == port {
		c.Warn(field, "names the default port: browsers send %s://%s", u.Scheme, strings.TrimSuffix(u.Host, ":"+port))
	}
}

func defaultPorts() map[string]string { return map[string]string{"http": "80", "https": "443"} }

// originProblem says what is wrong with an origin that parses as u; empty when
// nothing is.
func originProblem(origin string, u *url.URL) string {
	valid := originForm.MatchString(origin) && u.Host != "" && bounds.ValidPort(u.Port())
	switch {
	case valid:
		return ""
	case origin == "null":
		return "null is the origin of sandboxed pages and files, which anybody can make: it is never allowed"
	case originForm.MatchString(strings.ToLower(origin)) && strings.ToLower(origin) != origin:
		return fmt.Sprintf("%q has capital letters: browsers send %s", origin, strings.ToLower(origin))
	case u.Scheme != "" && u.Host != "" && u.Path != "":
		return fmt.Sprintf("%q has a path: browsers send %s://%s", origin, u.Scheme, strings.ToLower(u.Host))
	}
	return fmt.Sprintf("%q is no origin: write scheme://host or scheme://host:port, without wildcards", origin)
}
