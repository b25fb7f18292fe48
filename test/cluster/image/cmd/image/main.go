// Command image makes container images without a container engine. The same
// input gives the same bytes, so that a tarball can be cached and compared.
//
//	image -name localhost/sidecar:dev -o sidecar.tar -binary ./sidecar -- serve
//	image -name localhost/agent:dev -o agent.tar -rootfs rootfs.tar -copy ./agent:/app -- uvicorn main:app
//
// An image has up to two layers: a base (one static binary, or the root file
// system in a tarball) and the files given by -copy. What follows "--" becomes
// the arguments of the binary, or the whole command of a root file system.
//
// The tarball is what `ctr images import`, `docker load` and `crane push` read.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	spec, out, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err == nil {
		err = write(spec, out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// parse returns what the command line asks for and the file to write.
func parse(args []string) (spec, string, error) {
	var s spec
	var copies, env list
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("o", "", "tarball to write")
	flags.StringVar(&s.name, "name", "", "name of the image, such as localhost/sidecar:dev")
	flags.StringVar(&s.binary, "binary", "", "static binary to put at / of an otherwise empty image")
	flags.StringVar(&s.rootfs, "rootfs", "", "tarball of a root file system")
	flags.StringVar(&s.user, "user", "65532:65532", "user and group the program runs as")
	flags.StringVar(&s.arch, "arch", runtime.GOARCH, "architecture of the program")
	flags.Var(&copies, "copy", "DIR:TARGET, a directory to add with everything in it; may be repeated")
	flags.Var(&env, "env", "NAME=VALUE of the program's environment; may be repeated")
	if err := flags.Parse(args); err != nil {
		return spec{}, "", err
	}
	s.args, s.env = flags.Args(), env
	for _, c := range copies {
		from, to, ok := strings.Cut(c, ":")
		if !ok || !strings.HasPrefix(to, "/") {
			return spec{}, "", fmt.Errorf("-copy %q: want DIR:/TARGET", c)
		}
		s.copies = append(s.copies, tree{from: from, to: to})
	}
	switch {
	case s.name == "" || *out == "":
		return spec{}, "", errors.New("-name and -o are required")
	case (s.binary == "") == (s.rootfs == ""):
		return spec{}, "", errors.New("want one of -binary and -rootfs")
	case s.rootfs != "" && len(s.args) == 0:
		return spec{}, "", errors.New("-rootfs wants a command after --")
	}
	return s, *out, nil
}
