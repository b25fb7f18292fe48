package visitor

import "testing"

func TestOrderOfAVisit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		requests []string
		want     bool
	}{
		"a visit":                              {[]string{GetToken, streamed, answered, refused, refused, Refresh, answered, answered}, true},
		"on a machine that stalls, refreshed":  {[]string{GetToken, GetToken, streamed, refused, refused, Refresh, answered, Refresh, answered}, true},
		"no token":                             {[]string{streamed, refused, refused, Refresh, answered}, false},
		"no stream":                            {[]string{GetToken, refused, refused, Refresh, answered}, false},
		"no refresh":                           {[]string{GetToken, streamed, refused, refused, GetToken, answered}, false},
		"refreshed while it was answered":      {[]string{GetToken, streamed, Refresh, refused, refused, answered}, false},
		"refused after the refresh":            {[]string{GetToken, streamed, refused, refused, Refresh, refused}, false},
		"refused, and answered later":          {[]string{GetToken, streamed, refused, Refresh, refused, answered}, false},
		"nothing came of the refresh":          {[]string{GetToken, streamed, refused, refused, Refresh}, false},
		"it refreshed before it read anything": {[]string{GetToken, refused, Refresh, streamed, answered}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (Seen{Requests: tt.requests}).inOrder(); got != tt.want {
				t.Errorf("in order: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		asked []float64
		want  bool
	}{
		"once":                             {[]float64{31}, true},
		"again when it was due":            {[]float64{31, 31 + 0.75*Lifetime.Seconds()}, true},
		"again at once":                    {[]float64{31, 31.2}, false},
		"at each call, after a decent one": {[]float64{0, 31, 32}, false},
		"never":                            {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := patient(tt.asked); got != tt.want {
				t.Errorf("patient: %v, want %v", got, tt.want)
			}
		})
	}
}
