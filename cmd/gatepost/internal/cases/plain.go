package cases

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What the YAML reader says of a file whose fields are not ours.
var (
	lineForm    = regexp.MustCompile(`(?s)^line ([0-9]+): (.*)$`)
	unknownForm = regexp.MustCompile(`(?s)^field (.*) not found in type (.*)$`)
	wrongForm   = regexp.MustCompile("(?s)^cannot unmarshal !!(\\w+)(?: `(.*)`)? into ")
)

// inCases says an error of the YAML reader in the words of the file: line, case
// and field, instead of types of this program.
func inCases(err error, content []byte) error {
	typed, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return err
	}
	texts := make([]string, len(typed.Errors))
	for i, text := range typed.Errors {
		texts[i] = text
		if parts := lineForm.FindStringSubmatch(text); parts != nil {
			line, _ := strconv.Atoi(parts[1])
			texts[i] = fmt.Sprintf("line %d: %s%s", line, caseAt(content, line), plain(parts[2]))
		}
	}
	return errors.New(strings.Join(texts, "; "))
}

func plain(text string) string {
	if parts := unknownForm.FindStringSubmatch(text); parts != nil {
		return fmt.Sprintf("unknown field %s: there are %s", parts[1], fieldsOf(parts[2]))
	}
	if parts := wrongForm.FindStringSubmatch(text); parts != nil {
		kinds := map[string]string{"seq": "a list", "map": "fields", "str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}
		return strings.TrimSpace(kinds[parts[1]]+" "+parts[2]) + " cannot stand here"
	}
	return text
}

// fieldsOf are the fields of what the YAML reader calls by a type of ours.
func fieldsOf(named string) string {
	switch {
	case strings.HasPrefix(named, "cases.suite"):
		return "policy, cases"
	case strings.HasPrefix(named, "cases.testCase"):
		return "name, request, principal, expect"
	case strings.HasPrefix(named, "cases.principal"):
		return "provider, claims, apiKey"
	case strings.Contains(named, "Reason"):
		return "reason, rule, scopes"
	}
	return "method, path, headers"
}

// caseAt names the case that a line belongs to; empty outside of cases.
func caseAt(content []byte, line int) string {
	var file struct {
		Cases []yaml.Node `yaml:"cases"`
	}
	_ = yaml.Unmarshal(content, &file) // it was read before; what cannot be is left out
	for i := len(file.Cases) - 1; i >= 0; i-- {
		node := &file.Cases[i]
		if node.Line > line || lastLine(node) < line {
			continue
		}
		var named struct {
			Name string `yaml:"name"`
		}
		if node.Decode(&named) != nil || named.Name == "" {
			return fmt.Sprintf("cases[%d]: ", i)
		}
		return fmt.Sprintf("cases[%d] (%s): ", i, named.Name)
	}
	return ""
}

func lastLine(node *yaml.Node) int {
	last := node.Line
	for _, child := range node.Content {
		last = max(last, lastLine(child))
	}
	return last
}
