// Command pod is what runs inside the containers of the cluster's own tests. It
// links nothing but the standard library.
//
//	pod pause                      wait as the first process of a sandbox
//	pod serve [-listen ADDR] [-file FILE]
//	                               GET / says hello, GET /file shows the file as it is now
//	pod work [-for DURATION]       do something for a while and end well
//	pod get URL                    show the answer to a request from here
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: pod pause|serve|work|get [flags]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "pod %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, args []string) error {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "serve: address to listen on")
	file := flags.String("file", "", "serve: file to show at /file")
	span := flags.Duration("for", time.Second, "work: how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch command {
	case "pause":
		pause(ctx)
		return nil
	case "serve":
		return serve(ctx, *listen, *file)
	case "work":
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(*span):
			fmt.Println("work done")
			return nil
		}
	case "get":
		return get(ctx, flags.Arg(0))
	}
	return errors.New("no such command")
}

// pause keeps a sandbox alive: with a shared process namespace it is process 1
// there and collects the exit status of every orphan.
func pause(ctx context.Context) {
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	for {
		select {
		case <-ctx.Done():
			return
		case <-child:
			reap()
		}
	}
}

func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}

func serve(ctx context.Context, listen, file string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from", listen) })
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	fmt.Println("listening on", listen)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	fmt.Println("stopped")
	return nil
}

func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
