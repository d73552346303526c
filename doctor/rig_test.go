package doctor_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/doctor"
	"github.com/recloser-mcp/recloser/test/leak"
)

var programs = backendtest.Programs{
	"sound":  func(c *backendtest.Child) error { return c.Serve() },
	"short":  short,
	"broken": func(*backendtest.Child) error { return fmt.Errorf("no data base at /data/x") },
}

// short is a server that ends when it is asked for a list.
func short(*backendtest.Child) error {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		_ = json.Unmarshal(in.Bytes(), &m)
		answer := `"result":{}`
		switch {
		case strings.HasSuffix(m.Method, "/list"):
			return fmt.Errorf("no lists")
		case m.ID == nil:
			continue
		case m.Method == "initialize":
			answer = `"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"short","version":"1"}}`
		case m.Method != "ping":
			answer = `"error":{"code":-32601,"message":"unknown"}`
		}
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,%s}`+"\n", m.ID, answer)
	}
	return nil
}

func TestMain(m *testing.M) {
	programs.Main()
	os.Exit(m.Run())
}

// examine reads a document with one backend, b, and climbs its ladder. No secret
// may be in what it reports.
func examine(t *testing.T, document string, o doctor.Options, secrets ...string) doctor.Report {
	t.Helper()
	doc, _, err := config.Parse(filepath.Join(t.TempDir(), "mcp.yaml"), []byte(document), config.LoadOptions{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	r := doctor.Examine(t.Context(), doc, doc.Backends[0], o)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, hit := range leak.Find(b, secrets...) {
		t.Errorf("the report shows a secret: %s", hit)
	}
	return r
}

// entry is a document with one backend.
func entry(format string, args ...any) string {
	return "mcpServers:\n  b: {" + fmt.Sprintf(format, args...) + "}\n"
}

// file is a file with a text.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// token is a JWT with claims; its signature is nobody's.
func token(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]string{"alg": "RS256"}) + "." + part(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte(rand.Text()))
}

// keeper accepts JWTs that are for it and have not expired, and says what it wants
// as RFC 9728 has it.
type keeper struct {
	audience string
	scope    string // that it wants; empty: none
}

func (k *keeper) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here := "http://" + r.Host
		if r.URL.Path == "/.well-known/oauth-protected-resource" {
			_ = json.NewEncoder(w).Encode(map[string]any{"resource": k.audience, "authorization_servers": []string{"https://login.example"}, "scopes_supported": []string{"read", "write"}})
			return
		}
		var claims struct {
			Aud   string
			Scope string
			Exp   int64
		}
		parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
		ok := len(parts) == 3
		if ok {
			b, err := base64.RawURLEncoding.DecodeString(parts[1])
			ok = err == nil && json.Unmarshal(b, &claims) == nil && claims.Aud == k.audience && time.Unix(claims.Exp, 0).After(time.Now())
		}
		challenge := `Bearer resource_metadata="` + here + `/.well-known/oauth-protected-resource"`
		switch {
		case !ok:
			if len(parts) == 3 {
				challenge += `, error="invalid_token"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
		case k.scope != "" && !slices.Contains(strings.Fields(claims.Scope), k.scope):
			w.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+k.scope+`"`)
			w.WriteHeader(http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// certificate makes one that signs itself.
func certificate(t *testing.T, name string, from, to time.Time) (cert tls.Certificate, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return cert, pemOf(t, cert)
}

// pemOf is a file with a certificate.
func pemOf(t *testing.T, c tls.Certificate) string {
	t.Helper()
	return file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
}

// free is an address at which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
