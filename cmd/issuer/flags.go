package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"gatepost.dev/gatepost/internal/program"
	"gatepost.dev/gatepost/issuer"
)

// options are the command line, understood.
type options struct {
	config   issuer.Config
	logLevel string
}

// parse reads the command line. An error names the flag and the fix; help was
// written to stderr when it is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("issuer", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	c := &o.config
	flags.StringVar(&c.DocumentFile, "issuer", "", "standalone: `file` with the TokenIssuer, YAML or JSON")
	flags.StringVar(&c.KeysDir, "keys", "", "standalone: `directory` of keys, DIR/name/key")
	flags.StringVar(&c.UsersFile, "users", "", "standalone: `file` of users, lines of htpasswd; default: in the directory of keys")
	flags.StringVar(&c.BundleDir, "bundle", "", "in a pod: `directory` of the mounted bundle")
	flags.StringVar(&c.PodUID, "pod-uid", "", "in a pod: its `UID`")
	flags.Int64Var(&c.MinRevision, "min-revision", 0, "in a pod: least `revision` of the bundle that comes into force")
	flags.Func("listen", "public `address`, host:port", program.Address(&c.Listen))
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
		fmt.Fprintln(stderr, "usage: issuer --issuer FILE --keys DIR [--users FILE] --listen ADDR --admin ADDR")
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: all arguments are flags; see --help", flags.Arg(0))
	}
	return o, nil
}
