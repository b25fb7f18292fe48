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
// on every file system and needs no dependency. Where Kubernetes swaps a mount,
// Linux tells of it (inotify), and the look comes at once: a revoked key is
// accepted a quarter of a second less. That is a hint and nothing depends on it.
package filewatch
