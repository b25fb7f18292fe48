package cluster

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSettings(t *testing.T) {
	got := parseSettings("export CLUSTER_NETNS='gatepost'\nexport CLUSTER_NODE_IPV6=''\nexport PATH='/a/bin':\"$PATH\"\n\n")
	want := map[string]string{"CLUSTER_NETNS": "gatepost", "CLUSTER_NODE_IPV6": "", "PATH": `/a/bin':"$PATH"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestScriptsAreFoundFromAPackageBelow(t *testing.T) {
	want, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("testdata")
	got, err := findScripts()
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	t.Chdir("/")
	if got, err := findScripts(); err == nil {
		t.Errorf("outside a checkout, got %q; want an error", got)
	}
}

func TestAddressesOnTheNodeAreNumeric(t *testing.T) {
	node := &Cluster{netns: "/run/netns/none"}
	for _, address := range []string{"localhost:80", "10.0.0.1", ""} {
		if _, err := node.Dial(t.Context(), "tcp", address); err == nil {
			t.Errorf("dialled %q", address)
		}
		if _, err := node.Listen(t.Context(), "tcp", address); err == nil {
			t.Errorf("listened on %q", address)
		}
	}
}
