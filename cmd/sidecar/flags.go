package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"gatepost.dev/gatepost/internal/program"
	"gatepost.dev/gatepost/policy"
	"gatepost.dev/gatepost/sidecar"
)

// options are the command line, understood.
type options struct {
	config   sidecar.Config
	logLevel string
}

// parse reads the command line. An error names the flag and the fix; help was
// written to stderr when it is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("sidecar", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	c := &o.config
	flags.StringVar(&c.PolicyFile, "policy", "", "`file` with the AgentAuthPolicy, YAML or JSON")
	flags.StringVar(&c.KeysDir, "keys", "", "standalone: `directory` of keys, DIR/name/key")
	flags.Func("listen", "standalone: `address` to guard, host:port", program.Address(&c.Listen))
	flags.Func("upstream", "standalone: `URL` of the agent, http://host:port", func(text string) (err error) {
		c.Upstream, err = sidecar.ParseUpstream(text)
		return err
	})
	flags.StringVar(&c.KeysFile, "keys-file", "", "in a pod: keys.json `file` of the bundle")
	flags.Func("pod-ips", "in a pod: its `addresses`, separated by commas", func(text string) error { return parseIPs(text, c) })
	flags.Func("guard", "in a pod: `port` to guard; may be repeated", func(text string) error { return parseGuard(text, c) })
	flags.Func("probe", "in a pod: `port:METHOD:path` that needs no token; may be repeated", func(text string) error { return parseProbe(text, c) })
	flags.StringVar(&c.PodUID, "pod-uid", "", "in a pod: its `UID`")
	flags.Int64Var(&c.MinRevision, "min-revision", 0, "in a pod: least `revision` of keys.json that comes into force")
	flags.StringVar(&c.StateDir, "state-dir", "", "`directory` of the sidecar's own that keeps the last good remote key sets across restarts")
	flags.Func("admin", "private `address` of metrics, health and state, host:port", program.Address(&c.Admin))
	flags.Func("drain-timeout", "`duration` for which requests may go on after SIGTERM (default 30s)", func(text string) (err error) {
		c.DrainTimeout, err = program.Timeout(text)
		return err
	})
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		fmt.Fprintln(stderr, "usage: sidecar --policy FILE --keys DIR --listen ADDR --upstream URL --admin ADDR")
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: all arguments are flags; see --help", flags.Arg(0))
	case leadsBack(c.Listen, c.Upstream):
		return o, fmt.Errorf("--upstream %s is what --listen %s guards: each request would come back for ever; name the agent's own port", c.Upstream, c.Listen)
	}
	return o, nil
}

// leadsBack reports whether upstream obviously is the address listened on: the
// same port of the same host, or of this one when all addresses are listened on.
func leadsBack(listen, upstream string) bool {
	here, port, err := net.SplitHostPort(listen)
	there, upstreamPort, wrong := net.SplitHostPort(upstream)
	if err != nil || wrong != nil || port != upstreamPort || port == "0" {
		return false
	}
	here, there = loopbackIfLocal(here), loopbackIfLocal(there)
	return strings.EqualFold(here, there)
}

// loopbackIfLocal writes every name of the loopback interface, and of all
// interfaces, in one way.
func loopbackIfLocal(host string) string {
	ip, err := netip.ParseAddr(host)
	if host == "" || strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsUnspecified() {
		return "127.0.0.1"
	}
	if err == nil {
		return ip.Unmap().String()
	}
	return host
}

func parseIPs(text string, c *sidecar.Config) error {
	for part := range strings.SplitSeq(text, ",") {
		address, err := netip.ParseAddr(strings.TrimSpace(part))
		if err != nil || address.IsLoopback() || address.IsUnspecified() {
			return fmt.Errorf("%q is not an address of a pod", part)
		}
		c.PodIPs = append(c.PodIPs, address.Unmap())
	}
	return nil
}

func parseGuard(text string, c *sidecar.Config) error {
	port, err := parsePort(text)
	c.Guards = append(c.Guards, port)
	return err
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is not a port: 1 to 65535", text)
	}
	return uint16(port), nil
}

func parseProbe(text string, c *sidecar.Config) error {
	portText, rest, _ := strings.Cut(text, ":")
	method, path, _ := strings.Cut(rest, ":")
	port, err := parsePort(portText)
	if err != nil || method == "" || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%q is not a probe: write port:METHOD:/path", text)
	}
	c.Probes = append(c.Probes, policy.Probe{Port: int(port), Method: method, Path: path})
	return nil
}
