package policy

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a length of time written as Go writes it: 90s, 10m, 720h. It is a
// string on the wire and never negative.
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
// +kubebuilder:validation:MaxLength=32
type Duration struct {
	// Duration is the value; never negative after UnmarshalJSON.
	time.Duration `json:"-"`
}

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a duration such as "90s"; it refuses numbers, negative
// values and text that time.ParseDuration does not know.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a duration is a string such as \"90s\", not %s", data)
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < 0 {
		return fmt.Errorf("%q is not a duration: write 90s, 10m or 720h", text)
	}
	d.Duration = value
	return nil
}
