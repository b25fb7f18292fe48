package controlplane

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd keeps the cluster's objects below dir until ctx ends, and returns
// the endpoint for the API server. etcd listens on Unix sockets in that
// directory, which need no free port and are closed to other users.
func startEtcd(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	client := url.URL{Scheme: "unix", Path: filepath.Join(dir, "client.sock")}
	peer := url.URL{Scheme: "unix", Path: filepath.Join(dir, "peer.sock")}

	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "data")
	c.LogLevel = "error"
	c.UnsafeNoFsync = true // nothing here has to survive a power cut
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, etcd.Close)

	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-etcd.Server.ReadyNotify():
		return client.String(), nil
	case err := <-etcd.Err():
		return "", err
	case <-ctx.Done():
		return "", errors.Join(errors.New("not ready in time"), ctx.Err())
	}
}
