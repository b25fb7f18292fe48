package stage

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// Sample is one series of a scrape.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// ParseMetrics reads the Prometheus text format, as far as Gatepost writes it.
func ParseMetrics(r io.Reader) ([]Sample, error) {
	series := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	label := regexp.MustCompile(`([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"`)
	unescape := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
	var samples []Sample
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := series.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("reading metrics: no series in %q", line)
		}
		value, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			return nil, fmt.Errorf("reading metrics: %w", err)
		}
		labels := map[string]string{}
		for _, pair := range label.FindAllStringSubmatch(parts[2], -1) {
			labels[pair[1]] = unescape.Replace(pair[2])
		}
		samples = append(samples, Sample{Name: parts[1], Labels: labels, Value: value})
	}
	return samples, lines.Err()
}

// SumBy adds up the samples of a name whose labels hold all of where, by the
// value of one label.
func SumBy(samples []Sample, name, by string, where map[string]string) map[string]float64 {
	sums := map[string]float64{}
	for _, s := range samples {
		have := maps.Clone(where)
		maps.DeleteFunc(have, func(label, value string) bool { return s.Labels[label] == value })
		if s.Name == name && len(have) == 0 {
			sums[s.Labels[by]] += s.Value
		}
	}
	return sums
}
