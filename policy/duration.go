package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"gatepost.dev/gatepost/policy/bounds"
)

// Duration is a length of time written as Go writes it: 90s, 10m, 720h. It is a
// string on the wire and never negative.
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="a duration is written like 90s, 10m or 720h, and is at most 292 years"
type Duration struct {
	// Duration is the value; never negative after UnmarshalJSON.
	time.Duration `json:"-"`
}

var durationForm = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

// MarshalJSON writes the duration as a string that UnmarshalJSON and the
// resource's schema accept, in its shortest form: 10m, not 10m0s.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(bounds.Short(d.Duration)) }

// UnmarshalJSON reads a duration such as "90s"; it refuses numbers, signs,
// units below a millisecond and text that time.ParseDuration does not know.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a duration is a string such as \"90s\", not %s", data)
	}
	value, err := time.ParseDuration(text)
	if err != nil || len(text) > 32 || !durationForm.MatchString(text) {
		return fmt.Errorf("%q is no duration: write it like 90s, 10m or 720h", text)
	}
	d.Duration = value
	return nil
}
