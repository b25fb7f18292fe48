package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// overlay returns raw with what changed between before and after, which are the
// pod in our types as it was and as it shall be. Fields of a newer Kubernetes,
// which our types do not know, stay as they are in raw.
func overlay(raw []byte, before, after any) ([]byte, error) {
	var trees [3]any
	for i, source := range []any{json.RawMessage(raw), before, after} {
		text, err := json.Marshal(source)
		if err != nil {
			return nil, fmt.Errorf("encoding the pod: %w", err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&trees[i]); err != nil {
			return nil, fmt.Errorf("decoding the pod: %w", err)
		}
	}
	return json.Marshal(overlayTree(trees[0], trees[1], trees[2]))
}

func overlayTree(raw, before, after any) any {
	if reflect.DeepEqual(before, after) {
		return raw
	}
	switch after := after.(type) {
	case map[string]any:
		return overlayMap(raw, before, after)
	case []any:
		return overlayList(raw, before, after)
	}
	return after
}

func overlayMap(raw, before any, after map[string]any) any {
	rawMap, _ := raw.(map[string]any)
	beforeMap, _ := before.(map[string]any)
	merged := map[string]any{}
	for name, value := range rawMap {
		_, known := beforeMap[name]
		if _, kept := after[name]; kept || !known {
			merged[name] = value
		}
	}
	for name, value := range after {
		old, known := beforeMap[name]
		if !known {
			merged[name] = value
			continue
		}
		if value = overlayTree(rawMap[name], old, value); value != nil {
			merged[name] = value
		}
	}
	return merged
}

// overlayList overlays the elements of a list that have the same name; all the
// lists that inject changes are lists of named things.
func overlayList(raw, before any, after []any) any {
	merged := make([]any, 0, len(after))
	for _, element := range after {
		old, hadOld := named(before, element)
		given, hadGiven := named(raw, element)
		if hadOld && hadGiven {
			element = overlayTree(given, old, element)
		}
		merged = append(merged, element)
	}
	return merged
}

// named finds the element of a list that has the same name as another.
func named(list, like any) (any, bool) {
	elements, _ := list.([]any)
	object, _ := like.(map[string]any)
	name, ok := object["name"].(string)
	for _, element := range elements {
		if object, _ := element.(map[string]any); ok && object["name"] == name {
			return element, true
		}
	}
	return nil, false
}
