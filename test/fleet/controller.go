package fleet

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"gatepost.dev/gatepost/controller"
)

// RunController runs a controller in this process against a control plane, until
// end is called, which fails the test if the controller ended with an error. What
// the Config lacks of an image of sidecars, a Registerer and addresses gets that of
// the fleet, one of its own, and none.
func RunController(t testing.TB, over *rest.Config, c controller.Config) (end func()) {
	t.Helper()
	if c.SidecarImage == "" {
		c.SidecarImage = Image
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	c.MetricsAddress, c.HealthAddress = "0", "0"
	mgr, err := controller.New(rest.CopyConfig(over), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	return func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
