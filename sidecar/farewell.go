package sidecar

import (
	"encoding/binary"
	"time"
)

// farewellFrame closes a WebSocket with the code 1008, policy violation (RFC
// 6455 section 7.4.1), so that a page can tell an expired token from a broken
// connection.
var farewellFrame = append([]byte{0x88, 2 + byte(len(farewellText)), 0x03, 0xf0}, farewellText...)

const farewellText = "Token has expired"

// farewell tells the client of a WebSocket that its token has expired, where
// that can be said: between two frames of the agent's. Nothing of the agent's
// follows.
func (w *response) farewell() {
	c := w.socket.Load()
	if c == nil {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a client that reads nothing must not hold us
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.over || !c.begun.Load() || !c.frames.between() {
		return
	}
	c.over = true
	_, _ = c.Conn.Write(farewellFrame) // a client that has gone needs none
}

// frames follows the frames of one direction of a WebSocket, RFC 6455 section
// 5.2. The zero value is before the first.
type frames struct {
	head   [14]byte // of the frame that is under way
	have   int      // bytes of it that are known
	left   uint64   // bytes of payload still to come
	closed bool     // a close frame has begun
}

// between reports whether a frame of another's may follow.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 && !f.closed }

// follow takes the next bytes.
func (f *frames) follow(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(p)))
			f.left -= n
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		f.endHead()
	}
}

// endHead understands a head that is whole.
func (f *frames) endHead() {
	if f.have < 2 {
		return
	}
	size, payload := 2, uint64(f.head[1]&0x7f)
	switch payload {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if f.head[1]&0x80 != 0 {
		size += 4 // the mask
	}
	if f.have < size {
		return
	}
	switch payload {
	case 126:
		payload = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		payload = binary.BigEndian.Uint64(f.head[2:])
	}
	const opClose = 8
	f.closed = f.closed || f.head[0]&0x0f == opClose
	f.have, f.left = 0, payload
}
