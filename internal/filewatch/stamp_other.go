//go:build !linux

package filewatch

import "io/fs"

// nonBlocking is nothing where the look before says enough.
const nonBlocking = 0

// newStamp notes what every system tells.
func newStamp(path string, info fs.FileInfo) stamp {
	return stamp{path: path, size: info.Size(), mode: info.Mode(), changed: info.ModTime()}
}
