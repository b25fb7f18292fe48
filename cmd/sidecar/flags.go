package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

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
	flags.StringVar(&c.Listen, "listen", "", "standalone: `address` to guard, host:port")
	flags.Func("upstream", "standalone: `URL` of the agent, http://host:port", func(text string) (err error) {
		c.Upstream, err = sidecar.ParseUpstream(text)
		return err
	})
	flags.StringVar(&c.KeysFile, "keys-file", "", "in a pod: keys.json `file` of the bundle")
	flags.Func("pod-ips", "in a pod: its `addresses`, separated by commas", func(text string) error { return parseIPs(text, c) })
	flags.Func("guard", "in a pod: `port` to guard; may be repeated", func(text string) error { return parseGuard(text, c) })
	flags.Func("probe", "in a pod: `port:METHOD:path` that needs no token; may be repeated", func(text string) error { return parseProbe(text, c) })
	flags.StringVar(&c.PodUID, "pod-uid", "", "in a pod: its `UID`")
	flags.StringVar(&c.StateDir, "state-dir", "", "`directory` of the sidecar's own that keeps the last good remote key sets across restarts")
	flags.StringVar(&c.Admin, "admin", "", "private `address` of metrics, health and state, host:port")
	flags.DurationVar(&c.DrainTimeout, "drain-timeout", 0, "how long requests may go on after SIGTERM (default 30s)")
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
	case c.DrainTimeout < 0:
		return o, errors.New("--drain-timeout is negative: give a duration such as 30s")
	}
	return o, nil
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
