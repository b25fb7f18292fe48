//go:build unix

package token

import (
	"io/fs"
	"os"
	"syscall"
)

// nonBlocking opens a pipe at once, without a writer.
const nonBlocking = syscall.O_NONBLOCK

// ownAlone reports whether a file is ours and has no other name: nobody but us
// and root can have made it.
func ownAlone(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && stat.Nlink == 1
}
