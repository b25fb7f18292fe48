package wire

import "errors"

// Bounds of a chunked body's own lines.
const (
	maxChunkDigits = 15      // hexadecimal digits of a chunk size
	maxExtension   = 256     // bytes of one chunk's extensions
	maxTrailers    = 2 << 10 // bytes of the trailer section

	chunkAllowance = 16       // bytes that a chunk may cost beside its data
	maxExcess      = 16 << 10 // bytes that all chunks together may cost beyond that
)

// ErrChunk is what reading a body returns when its chunks are not framed
// exactly as RFC 9112 section 7.1 writes them.
var ErrChunk = errors.New("reading a chunked body: malformed chunk")

// body follows one request body: the zero body is empty.
type body struct {
	chunked bool
	state   chunkState
	left    int64 // bytes left of the body, or of the current chunk
	count   int   // digits, extension bytes or trailer bytes seen so far
	line    int   // bytes of the current line, of a chunk's size or a trailer
	named   bool  // the current trailer line had its colon
	excess  int64 // bytes that the chunks so far cost beyond what is allowed
}

// chunkState says what the next byte of a chunked body must be.
type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerLine
	trailerLF
	chunksDone
)

// done reports whether nothing of the body is left.
func (b *body) done() bool {
	if b.chunked {
		return b.state == chunksDone
	}
	return b.left == 0
}

// take returns how many leading bytes of p belong to the body and moves on past
// them. After an error nothing of the connection may be read any more.
func (b *body) take(p []byte) (int, error) {
	if !b.chunked {
		n := int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		return n, nil
	}
	for n := 0; n < len(p); {
		if b.state == chunksDone {
			return n, nil
		}
		if b.state == chunkData {
			k := int(min(int64(len(p)-n), b.left))
			b.left -= int64(k)
			n += k
			if b.left == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		if !b.step(p[n]) {
			return n, ErrChunk
		}
		n++
	}
	return len(p), nil
}

// step moves on past one byte outside of chunk data, if it may stand there.
func (b *body) step(c byte) bool {
	switch b.state {
	case chunkSize:
		return b.size(c)
	case chunkExtension:
		return b.extension(c)
	case chunkSizeLF:
		return b.weigh() && b.expect(c, '\n', b.afterSize())
	case chunkDataCR:
		return b.expect(c, '\r', chunkDataLF)
	case chunkDataLF:
		return b.expect(c, '\n', chunkSize)
	case trailerLine:
		return b.trailer(c)
	case trailerLF:
		next := trailerLine
		if b.line == 0 {
			next = chunksDone
		}
		b.line, b.named = 0, false
		return b.expect(c, '\n', next)
	default:
		return false
	}
}

// afterSize is where the line of a chunk's size leads: to its data, or, after
// the last chunk, to the trailers.
func (b *body) afterSize() chunkState {
	if b.left == 0 {
		return trailerLine
	}
	return chunkData
}

// weigh adds up what chunks cost beside their data, at the end of a size line. A
// byte in each chunk is fine; extensions without end are not, nor does net/http
// take them.
func (b *body) weigh() bool {
	b.excess = max(0, b.excess+int64(b.line+len(crlf)-chunkAllowance)-2*b.left)
	b.count, b.line = 0, 0
	return b.excess <= maxExcess
}

func (b *body) expect(c, want byte, next chunkState) bool {
	b.state = next
	return c == want
}

// size takes the digits of a chunk size and what ends them.
func (b *body) size(c byte) bool {
	if c != '\r' {
		b.line++
	}
	digit := int64(-1)
	switch {
	case '0' <= c && c <= '9':
		digit = int64(c - '0')
	case 'a' <= c && c <= 'f':
		digit = int64(c-'a') + 10
	case 'A' <= c && c <= 'F':
		digit = int64(c-'A') + 10
	}
	if digit >= 0 {
		b.count++
		b.left = b.left<<4 | digit
		return b.count <= maxChunkDigits
	}
	if b.count == 0 {
		return false
	}
	b.count = 0
	if c == ';' {
		b.state = chunkExtension
		return true
	}
	return b.expect(c, '\r', chunkSizeLF)
}

// extension skips chunk extensions, which nobody downstream will see.
func (b *body) extension(c byte) bool {
	if c == '\r' {
		b.state = chunkSizeLF
		return true
	}
	b.count++
	b.line++
	return c >= ' ' && c < 0x7f && b.count <= maxExtension
}

// trailer skips the trailer section, which nobody downstream will see. A line
// is a name, a token with the colon right behind it, and a value (RFC 9112
// section 5).
func (b *body) trailer(c byte) bool {
	if c == '\r' {
		b.state = trailerLF
		return b.line == 0 || b.named
	}
	b.line++
	b.count++
	if b.count > maxTrailers {
		return false
	}
	if b.named {
		return (c >= ' ' || c == '\t') && c != 0x7f
	}
	b.named = c == ':' && b.line > 1
	return b.named || tokenBytes[c]
}
