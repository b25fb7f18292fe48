package controller

import (
	"strings"
	"testing"
)

func TestConfigurationsAreCheckedAtOnce(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		config Config
		want   []string
	}{
		"an image is enough": {Config{SidecarImage: "i"}, nil},
		"everything that is wrong is said": {
			Config{LeaderElect: true, MinPrePublish: -1, NudgeRate: -1, WatchNamespaces: []string{"a", "B", "a"}},
			[]string{"sidecar image", "leader election", "negative", `"B" is not a namespace`, "listed twice", "nudge rate"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got, err := test.config.complete()
			if len(test.want) == 0 {
				if err != nil || got.MinPrePublish != DefaultMinPrePublish || got.Now == nil || got.Random == nil {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			for _, part := range test.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not contain %q", err, part)
				}
			}
		})
	}
}
