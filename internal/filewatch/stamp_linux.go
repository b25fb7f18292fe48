package filewatch

import (
	"io/fs"
	"syscall"
	"time"
)

// nonBlocking opens a pipe at once, without a writer.
const nonBlocking = syscall.O_NONBLOCK

// newStamp notes the inode and the time of the last change of any kind, which
// no program can set back.
func newStamp(path string, info fs.FileInfo) stamp {
	s := stamp{path: path, size: info.Size(), mode: info.Mode(), changed: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
		s.changed = time.Unix(sys.Ctim.Unix())
	}
	return s
}
