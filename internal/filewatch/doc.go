// Package filewatch turns files that change underneath us into a stream of
// complete readings.
//
// Kubernetes swaps a mounted Secret by moving one symbolic link, a person saves
// one file after the other, a deploy script does something in between. A Watcher
// hides the difference: Read returns all files as they were at one moment, never
// some from before a change and some from after it, and Changes says that
// reading again is worth while. What the bytes mean, and whether to keep the
// last good state, is the caller's business.
//
// It looks at the files four times a second. That costs a few stat calls, works
// on every file system and needs no dependency; what inotify would add is a
// quarter of a second, and special cases for links, moves and network mounts.
package filewatch
