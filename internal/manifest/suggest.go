package manifest

import "strings"

// unknown refuses a field and names the one that was probably meant.
func (b *binder) unknown(f field, path string, known []string) {
	name := f.name
	if path != "" {
		name = path + "." + f.name
	}
	hint := ""
	if meant := closest(f.name, known); meant != "" {
		hint = "; did you mean " + meant + "?"
	}
	b.errs.add(f.line, "", "unknown field %s%s", shorten(name), hint)
}

// closest is the known name that name was probably meant to be; empty when none
// is near.
func closest(name string, known []string) string {
	best, bestDistance := "", 3
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return k
		}
		if d := distance(name, k); d < bestDistance && d < len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the letters to insert, drop or change between two names
// (Levenshtein); names longer than any field are far from all.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
