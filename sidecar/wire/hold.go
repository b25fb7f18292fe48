package wire

// forget drops buffered bytes, and the buffer when it is empty.
func (c *Conn) forget(n int) {
	c.in.forget(n)
	if len(c.in.bytes()) == 0 {
		c.release()
	}
}

func (c *Conn) release() {
	if len(c.in.space) == freeBytes {
		c.in.from, c.in.to = 0, 0
		buffers.Put(c.in)
	} else {
		c.giveBack()
	}
	c.in = nil
}

// keep buffers bytes that were read before they could be judged.
func (c *Conn) keep(p []byte) {
	if len(p) == 0 {
		return
	}
	if c.in == nil {
		c.in, _ = buffers.Get().(*buffer)
	}
	c.full = !c.room(len(p))
	c.in.to += copy(c.in.free(), p)
}

// room makes space for so many bytes behind those in the buffer. It grows by
// half, because what a buffer has to spare is lost to all connections.
func (c *Conn) room(need int) bool {
	if len(c.in.free()) >= need {
		return true
	}
	now := len(c.in.space)
	size := max(min(now+now/2, c.maxHead()), len(c.in.bytes())+need)
	if !c.book(int64(size - now)) {
		return false
	}
	c.in.resize(size)
	return true
}

// book takes space from the budget. It takes none for a connection that was
// closed, whose next read fails.
func (c *Conn) book(n int64) bool {
	c.space.Lock()
	defer c.space.Unlock()
	if c.closed {
		return true
	}
	if !c.config.Heads.Take(n) {
		return false
	}
	c.booked += n
	return true
}

// giveBack returns what was taken.
func (c *Conn) giveBack() {
	c.space.Lock()
	defer c.space.Unlock()
	c.config.Heads.Give(c.booked)
	c.booked = 0
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.space.Lock()
	c.closed = true
	c.space.Unlock()
	c.giveBack()
	return c.Conn.Close()
}
