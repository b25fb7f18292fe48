package crowd

import (
	"net"
	"testing"
)

func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	c := &crowd{most: 2}
	come := func() *guest {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() })
		g := &guest{Conn: ours, crowd: c}
		if oldest := c.admit(g); oldest != nil {
			oldest.Close()
		}
		return g
	}
	first, second := come(), come()
	for range 3 { // twice is not two places
		first.Close()
	}
	third := come()
	if second.place == nil || third.place == nil || c.open.Len() != 2 {
		t.Errorf("%d places are taken, want those of the second and the third", c.open.Len())
	}
	come()
	if second.place != nil || third.place == nil || c.open.Len() != 2 {
		t.Errorf("%d places are taken, want the second to have left", c.open.Len())
	}
}
