package archtest

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	longestFunction = 60  // lines
	longestFile     = 400 // lines; most are around 300 or fewer
)

func TestFunctionsAndFilesStayShort(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	var longest, lines int
	var where string
	for _, path := range goFiles(t) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(source, []byte("\n")); n > longestFile && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines, more than %d: it holds more than one noun", path, n, longestFile)
		}
		parsed, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, decl := range parsed.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			lines = files.Position(function.End()).Line - files.Position(function.Pos()).Line + 1
			if lines > longest {
				longest, where = lines, fmt.Sprintf("%s:%s", path, function.Name.Name)
			}
			if lines > longestFunction {
				t.Errorf("%s: %s has %d lines, more than %d", path, function.Name.Name, lines, longestFunction)
			}
		}
	}
	t.Logf("figure: longest_function %d lines (%s)", longest, where)
}

// goFiles are the module's own hand-written Go files.
func goFiles(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "node_modules" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !generated(path) {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func generated(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		line := scanner.Text()
		if strings.HasPrefix(line, "package ") {
			return false
		}
		if strings.HasPrefix(line, "// Code generated ") && strings.HasSuffix(line, " DO NOT EDIT.") {
			return true
		}
	}
	return false
}
