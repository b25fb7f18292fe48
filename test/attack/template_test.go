package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// template is a request as the corpus writes it. Its attack has the second of
// each [[honest => flawed]], its twin the first.
type template string

// choose makes the text of the attack or of its twin.
func (t template) choose(flawed bool) (string, error) {
	var out strings.Builder
	rest := string(t)
	for {
		before, after, found := strings.Cut(rest, "[[")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		choice, behind, closed := strings.Cut(after, "]]")
		honest, bad, both := strings.Cut(choice, " => ")
		if !closed || !both {
			return "", fmt.Errorf("[[%.40s: write [[honest => flawed]]", after)
		}
		if flawed {
			honest = bad
		}
		out.WriteString(honest)
		rest = behind
	}
}

// filler puts what the places in a text stand for.
type filler struct {
	mint *mint
	mark string // unique to the request
	evil string // unique to what must be taken away from it
}

// places of a text that can be filled in only when the rest is.
const bodyLength = "<body-length>"

// fill turns a chosen text into the bytes of a request: line ends become CRLF,
// escapes and places what they stand for.
func (f *filler) fill(text string) ([]byte, error) {
	out, err := f.expand(text)
	if err != nil {
		return nil, err
	}
	head, body, _ := strings.Cut(out, "\r\n\r\n")
	if strings.Contains(head, bodyLength) {
		head = strings.ReplaceAll(head, bodyLength, strconv.Itoa(len(body)))
		out = head + "\r\n\r\n" + body
	}
	return []byte(out), nil
}

func (f *filler) expand(text string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			out.WriteString("\r\n")
			i++
		case c == '\\':
			b, n, err := escape(text[i:])
			if err != nil {
				return "", err
			}
			out.Write(b)
			i += n
		case c == '<' && !strings.HasPrefix(text[i:], bodyLength):
			b, n, err := f.place(text[i:])
			if err != nil {
				return "", err
			}
			out.WriteString(b)
			i += n
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String(), nil
}

// escape reads one escape: \r \n \t \0 \\ \< \xHH, or a line end that is none.
func escape(text string) (b []byte, n int, err error) {
	if len(text) < 2 {
		return nil, 0, errors.New("a backslash at the end")
	}
	simple := map[byte]string{'r': "\r", 'n': "\n", 't': "\t", '0': "\x00", '\\': "\\", '<': "<", '\n': ""}
	if s, ok := simple[text[1]]; ok {
		return []byte(s), 2, nil
	}
	if text[1] == 'x' && len(text) >= 4 {
		if c, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
			return []byte{byte(c)}, 4, nil
		}
	}
	return nil, 0, fmt.Errorf("no escape %.4q", text)
}

// unescape reads a text with escapes.
func unescape(text string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		b, n, err := escape(text[i:])
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
		i += n
	}
	return out, nil
}

// place fills in one place and returns the length of what it is written as.
func (f *filler) place(text string) (string, int, error) {
	word := text[1:]
	if end := strings.IndexAny(word, " >"); end >= 0 {
		word = word[:end]
	}
	argument, n, err := argumentOf(text, 1+len(word))
	if err != nil {
		return "", 0, fmt.Errorf("<%s: %w", word, err)
	}
	filled, err := f.word(word, argument)
	return filled, n, err
}

func (f *filler) word(word string, argument json.RawMessage) (string, error) {
	var text string
	var list []any
	switch word {
	case "mark":
		return f.mark, nil
	case "evil":
		return f.evil, nil
	case "apikey":
		err := json.Unmarshal(argument, &text)
		return f.mint.keys.apiKey(text), err
	case "token":
		if argument == nil {
			argument = json.RawMessage("{}")
		}
		return f.mint.token(string(argument))
	case "chunk":
		if err := json.Unmarshal(argument, &text); err != nil {
			return "", err
		}
		text, err := f.expand(text)
		return strconv.FormatInt(int64(len(text)), 16) + "\r\n" + strings.ReplaceAll(text, "\r\r\n", "\r\n") + "\r\n", err
	case "repeat": // [times, text]
		if err := json.Unmarshal(argument, &list); err != nil || len(list) != 2 {
			return "", fmt.Errorf("<repeat %s>: write [times, text]", argument)
		}
		times, _ := list[0].(float64)
		what, _ := list[1].(string)
		what, err := f.expand(what)
		return strings.Repeat(what, int(times)), err
	}
	return "", fmt.Errorf("no place <%s>; write \\< for the character", word)
}

// argumentOf reads the JSON value between a place's word and its end.
func argumentOf(text string, from int) (json.RawMessage, int, error) {
	if from < len(text) && text[from] == '>' {
		return nil, from + 1, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text[from:]))
	var argument json.RawMessage
	if err := decoder.Decode(&argument); err != nil {
		return nil, 0, err
	}
	end := from + int(decoder.InputOffset())
	if end >= len(text) || text[end] != '>' {
		return nil, 0, errors.New("no > after its argument")
	}
	return argument, end + 1, nil
}
