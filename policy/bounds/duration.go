package bounds

import (
	"strconv"
	"strings"
	"time"
)

// Short is the shortest form of a length of time in hours, minutes and seconds,
// or in milliseconds below a second: 10m, not 10m0s.
func Short(d time.Duration) string {
	if d != 0 && d.Abs() < time.Second {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64) + "ms"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
