//go:build !linux

package filewatch

import "io/fs"

// newStamp notes what every system tells.
func newStamp(path string, info fs.FileInfo) stamp {
	return stamp{path: path, size: info.Size(), mode: info.Mode(), changed: info.ModTime()}
}
