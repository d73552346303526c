package wire

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaderValues(t *testing.T) {
	for plain, encoded := range map[string]string{
		"us-west1":            "us-west1", // the table of the specification
		"Hello, 世界":           "=?base64?SGVsbG8sIOS4lueVjA==?=",
		" padded ":            "=?base64?IHBhZGRlZCA=?=",
		"line1\nline2":        "=?base64?bGluZTEKbGluZTI=?=",
		"=?base64?literal?=":  "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
		"":                    "",
		"a b\tc":              "a b\tc",
		"\ta":                 "=?base64?CWE=?=",
		"a\x7f":               "=?base64?YX8=?=",
		"=?base64?=":          "=?base64?PT9iYXNlNjQ/PQ==?=",
		"=?base64?":           "=?base64?",
		"=?BASE64?x?=":        "=?BASE64?x?=",
		"file:///a%20b?c=d#e": "file:///a%20b?c=d#e",
	} {
		if got := EncodeHeaderValue(plain); got != encoded {
			t.Errorf("EncodeHeaderValue(%q) = %q, want %q", plain, got, encoded)
		}
		if got, err := DecodeHeaderValue(encoded); err != nil || got != plain {
			t.Errorf("DecodeHeaderValue(%q) = %q, %v, want %q", encoded, got, err, plain)
		}
	}
	for _, bad := range []string{"a\n", "a\x00b", "é", " a", "a ", "=?base64?=", "=?base64?***?=", "=?base64?YQ?=", "=?base64?YR==?=", "=?base64?/w==?=", "=?base64?YQ==\n?="} {
		if got, err := DecodeHeaderValue(bad); !errors.Is(err, ErrHeaderValue) {
			t.Errorf("DecodeHeaderValue(%q) = %q, %v", bad, got, err)
		}
	}
}

func TestPlainHeaderValuesAreNotCopied(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if EncodeHeaderValue("weather_get_forecast") == "" {
			t.Error("empty")
		}
		if _, err := DecodeHeaderValue("weather_get_forecast"); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHeaderNamesAreCanonical(t *testing.T) {
	for _, h := range []string{HeaderSession, HeaderProtocol, HeaderMethod, HeaderName, HeaderParamPrefix + "Region", HeaderLastEventID} {
		if http.CanonicalHeaderKey(h) != h {
			t.Errorf("%s is not", h)
		}
	}
}

func TestValidSessionID(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a": true, "1868a90c-!~": true, "a b": false, "a\tb": false, "é": false, "a\x7f": false, "a\n": false,
		strings.Repeat("x", 4096): true, strings.Repeat("x", 4097): false,
	} {
		if ValidSessionID(id) != want {
			t.Errorf("%.20q: %v", id, !want)
		}
	}
}

func TestParamHeaders(t *testing.T) {
	const s = `"type":"string","x-mcp-header":`
	for _, tc := range []struct {
		name, schema string
		want         []ParamHeader
	}{
		{"no schema", ``, nil},
		{"no object", `true`, nil},
		{"none", `{"type":"object","properties":{"a":{"type":"string"}}}`, nil},
		{"one", `{"type":"object","properties":{"region":{` + s + `"Region"},"query":{"type":"string"}}}`,
			[]ParamHeader{{"Mcp-Param-Region", []string{"region"}}}},
		{"all types, order kept", `{"properties":{"b":{"x-mcp-header":"B","type":"boolean"},"i":{"type":"integer","x-mcp-header":"I"},"s":{` + s + `"!#$%&'*+-.^_` + "`" + `|~aZ0"}}}`,
			[]ParamHeader{{"Mcp-Param-B", []string{"b"}}, {"Mcp-Param-I", []string{"i"}}, {"Mcp-Param-!#$%&'*+-.^_`|~aZ0", []string{"s"}}}},
		{"nested", `{"properties":{"a":{"type":"object","properties":{"b":{` + s + `"X"},"c":{"properties":{"d":{` + s + `"Y"}}}}}}}`,
			[]ParamHeader{{"Mcp-Param-X", []string{"a", "b"}}, {"Mcp-Param-Y", []string{"a", "c", "d"}}}},
		{"or null", `{"properties":{"a":{"type":["null","string"],"x-mcp-header":"X"}}}`,
			[]ParamHeader{{"Mcp-Param-X", []string{"a"}}}},
		{"a property of that name", `{"properties":{"x-mcp-header":{"type":"object"}}}`, nil},
		{"data of that name", `{"properties":{"a":{"default":{"x-mcp-header":"X"},"enum":[{"x-mcp-header":1}],"const":{"x-mcp-header":""},"examples":[{"x-mcp-header":""}]}}}`, nil},
		{"a definition of that name", `{"$defs":{"x-mcp-header":{"type":"string"}}}`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParamHeaders([]byte(tc.schema))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, schema := range map[string]string{
		"empty":                  `{"properties":{"a":{` + s + `""}}}`,
		"not a string":           `{"properties":{"a":{` + s + `1}}}`,
		"null":                   `{"properties":{"a":{` + s + `null}}}`,
		"space":                  `{"properties":{"a":{` + s + `"My Region"}}}`,
		"line feed":              `{"properties":{"a":{` + s + `"A\r\nB"}}}`,
		"colon":                  `{"properties":{"a":{` + s + `"A:B"}}}`,
		"not ASCII":              `{"properties":{"a":{` + s + `"Région"}}}`,
		"twice":                  `{"properties":{"a":{` + s + `"Region"},"b":{` + s + `"REGION"}}}`,
		"twice, nested":          `{"properties":{"a":{` + s + `"X"},"b":{"properties":{"c":{` + s + `"x"}}}}}`,
		"number":                 `{"properties":{"a":{"type":"number","x-mcp-header":"X"}}}`,
		"object":                 `{"properties":{"a":{"type":"object","x-mcp-header":"X"}}}`,
		"array":                  `{"properties":{"a":{"type":"array","x-mcp-header":"X"}}}`,
		"no type":                `{"properties":{"a":{"x-mcp-header":"X"}}}`,
		"two types":              `{"properties":{"a":{"type":["string","integer"],"x-mcp-header":"X"}}}`,
		"only null":              `{"properties":{"a":{"type":["null"],"x-mcp-header":"X"}}}`,
		"the root":               `{"type":"string","x-mcp-header":"X"}`,
		"items":                  `{"properties":{"a":{"type":"array","items":{` + s + `"X"}}}}`,
		"properties of items":    `{"properties":{"a":{"items":{"properties":{"b":{` + s + `"X"}}}}}}`,
		"prefixItems":            `{"properties":{"a":{"prefixItems":[{},{` + s + `"X"}]}}}`,
		"anyOf":                  `{"anyOf":[{"properties":{"a":{` + s + `"X"}}}]}`,
		"not":                    `{"not":{"properties":{"a":{` + s + `"X"}}}}`,
		"if":                     `{"if":{"properties":{"a":{` + s + `"X"}}}}`,
		"definitions":            `{"$defs":{"a":{"properties":{"a":{` + s + `"X"}}}}}`,
		"pattern properties":     `{"patternProperties":{"a":{` + s + `"X"}}}`,
		"additional properties":  `{"additionalProperties":{` + s + `"X"}}`,
		"deeper than we look":    strings.Repeat(`{"not":`, 200) + `{}` + strings.Repeat("}", 200),
		"in an array of arrays":  `{"anyOf":[[{` + s + `"X"}]]}`,
		"escaped annotation key": `{"properties":{"a":{"type":"object","x-mcp-h\u0065ader":"X"}}}`,
	} {
		if got, err := ParamHeaders([]byte(schema)); !errors.Is(err, ErrParamHeader) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestHeaderValuesOfACall(t *testing.T) {
	h := func(path ...string) []ParamHeader { return []ParamHeader{{"Mcp-Param-X", path}} }
	for _, tc := range []struct {
		args string
		path []string
		want string // "" is no header
	}{
		{`{"a":"us-west1"}`, []string{"a"}, "us-west1"},
		{`{"a":"\u00e9"}`, []string{"a"}, "=?base64?w6k=?="},
		{`{"a":42}`, []string{"a"}, "42"},
		{`{"a":-7}`, []string{"a"}, "-7"},
		{`{"a":42.0}`, []string{"a"}, "42"},
		{`{"a":4.2e1}`, []string{"a"}, "42"},
		{`{"a":-0}`, []string{"a"}, "0"},
		{`{"a":9007199254740991}`, []string{"a"}, "9007199254740991"},
		{`{"a":9007199254740992}`, []string{"a"}, ""},
		{`{"a":1e400}`, []string{"a"}, ""},
		{`{"a":-1e300}`, []string{"a"}, ""},
		{`{"a":1.5}`, []string{"a"}, ""},
		{`{"a":true}`, []string{"a"}, "true"},
		{`{"a":false}`, []string{"a"}, "false"},
		{`{"a":null}`, []string{"a"}, ""},
		{`{"a":{}}`, []string{"a"}, ""},
		{`{"a":[1]}`, []string{"a"}, ""},
		{`{}`, []string{"a"}, ""},
		{``, []string{"a"}, ""},
		{`null`, []string{"a"}, ""},
		{`{"a":{"b":"x","b.c":"y"},"b":"z"}`, []string{"a", "b"}, "x"},
		{`{"a":{"b":"x","b.c":"y"},"b":"z"}`, []string{"a", "b.c"}, "y"},
		{`{"a":"b"}`, []string{"a", "b"}, ""},
		{`{"a":1,"\u0061":2}`, []string{"a"}, "2"},
	} {
		got := HeaderValues([]byte(tc.args), h(tc.path...))
		if len(got) == 0 != (tc.want == "") || len(got) == 1 && (got[0].Value != tc.want || got[0].Name != "Mcp-Param-X") {
			t.Errorf("%s %v: %v, want %q", tc.args, tc.path, got, tc.want)
		}
	}
}

func TestHeaderValueMatches(t *testing.T) {
	of := func(arg string) HeaderValue {
		return HeaderValues([]byte(`{"a":`+arg+`}`), []ParamHeader{{"X", []string{"a"}}})[0]
	}
	for _, tc := range []struct {
		arg, sent string
		want      bool
	}{
		{`"x"`, "x", true}, {`"x"`, "=?base64?eA==?=", true}, {`"x"`, "X", false}, {`"x"`, "", false},
		{`"é"`, "=?base64?w6k=?=", true}, {`"é"`, "é", false},
		{`42`, "42", true}, {`42`, "42.0", true}, {`42.0`, "42", true}, {`42`, "043", false}, {`42`, "", false}, {`42`, "x", false},
		{`"42"`, "42.0", false}, {`true`, "true", true}, {`true`, "True", false},
	} {
		if got := of(tc.arg).Matches(tc.sent); got != tc.want {
			t.Errorf("%s and %q: %v", tc.arg, tc.sent, got)
		}
	}
}
