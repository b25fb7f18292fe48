package policy

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (c *checker) cors(field string, s *CORS) {
	oneOf(c, field+".mode", "mode", s.Mode, CORSGateway, CORSPassthrough)
	c.count(field+".allowOrigins", len(s.AllowOrigins), 0, 64)
	for i, origin := range s.AllowOrigins {
		c.origin(at(field+".allowOrigins", i), origin)
	}
	unique(c, field+".allowOrigins", s.AllowOrigins)
	c.methods(field+".allowMethods", s.AllowMethods, 0)
	c.texts(field+".allowHeaders", s.AllowHeaders, 64, anyHeaderForm)
	c.texts(field+".exposeHeaders", s.ExposeHeaders, 64, anyHeaderForm)
	c.duration(field+".maxAge", s.MaxAge, 0, 24*time.Hour)
	all := slices.Contains(s.AllowOrigins, "*")
	switch {
	case !s.AllowCredentials:
	case all:
		c.fail(field+".allowOrigins", "may not contain * when allowCredentials is true: list the origins")
	case slices.Contains(s.AllowHeaders, "*"):
		c.fail(field+".allowHeaders", "may not contain * when allowCredentials is true: list the headers")
	case slices.Contains(s.ExposeHeaders, "*"):
		c.fail(field+".exposeHeaders", "may not contain * when allowCredentials is true: list the headers")
	}
	if all && len(s.AllowOrigins) > 1 {
		c.warn(field+".allowOrigins", "contains *: the other origins change nothing")
	}
	if len(s.AllowOrigins) == 0 {
		c.warn(field+".allowOrigins", "is empty: no page of another origin can read an answer")
	}
}

var originForm = regexp.MustCompile(`^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

// origin checks one origin as browsers send it (RFC 6454 section 6.2).
func (c *checker) origin(field, origin string) {
	c.text(field, origin, textForm{most: 512})
	if origin == "" || origin == "*" {
		return
	}
	u, err := url.Parse(origin)
	switch {
	case origin == "null":
		c.fail(field, "null is the origin of sandboxed pages and files, which anybody can make: it is never allowed")
	case originForm.MatchString(strings.ToLower(origin)) && !originForm.MatchString(origin):
		c.fail(field, "%q has capital letters: browsers send %s", origin, strings.ToLower(origin))
	case err == nil && u.Host != "" && u.Scheme != "" && u.Path != "":
		c.fail(field, "%q has a path: browsers send %s", origin, u.Scheme+"://"+strings.ToLower(u.Host))
	case err != nil || !originForm.MatchString(origin) || !validPort(u.Port()):
		c.fail(field, "%q is no origin: write scheme://host or scheme://host:port, without wildcards", origin)
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		c.warn(field, "names the default port: browsers send %s://%s", u.Scheme, strings.TrimSuffix(u.Host, ":"+u.Port()))
	}
}
