package cases

import (
	"encoding/xml"
	"fmt"
	"time"
)

// The elements of a JUnit report that CI servers read. A file of cases is a
// testsuite; one that could not be judged has a testcase with an error.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string     `xml:"name,attr"`
		ClassName string     `xml:"classname,attr"`
		Time      string     `xml:"time,attr"`
		Failure   *junitText `xml:"failure,omitempty"`
		Error     *junitText `xml:"error,omitempty"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit is the reports as CI servers read them; at is when they were made.
func JUnit(reports []Report, at time.Time) ([]byte, error) {
	all := junitSuites{Name: "gatepost policy test"}
	var took time.Duration
	for i := range reports {
		one := suiteOf(&reports[i], at)
		all.Tests += one.Tests
		all.Failures += one.Failures
		all.Errors += one.Errors
		took += reports[i].Took
		all.Suites = append(all.Suites, one)
	}
	all.Time = seconds(took)
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the JUnit report: %w", err)
	}
	return append(append([]byte(xml.Header), text...), '\n'), nil
}

func suiteOf(r *Report, at time.Time) junitSuite {
	one := junitSuite{Name: r.File, Failures: r.Failed(), Time: seconds(r.Took), Timestamp: at.UTC().Format("2006-01-02T15:04:05")}
	for _, result := range r.Cases {
		test := junitCase{Name: result.Name, ClassName: r.File, Time: seconds(result.Took)}
		if !result.Passed {
			message := "got " + result.Got + ", want " + result.Want
			test.Failure = &junitText{Message: message, Type: "unexpected", Text: r.Policy + ": " + message}
		}
		one.Cases = append(one.Cases, test)
	}
	if r.Error != "" {
		one.Errors = 1
		one.Cases = append(one.Cases, junitCase{
			Name: "the file can be judged", ClassName: r.File, Time: seconds(0), Error: &junitText{Message: r.Error, Type: "unreadable", Text: r.Error},
		})
	}
	one.Tests = len(one.Cases)
	return one
}

// seconds is a length of time as the report has it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
