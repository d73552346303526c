package backendtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// WithTLS serves https with a certificate of the server's own making, valid for
// 127.0.0.1 and localhost in real and in virtual time. Adjust, if given, changes
// the configuration: to ask for client certificates, say, or to present another
// certificate. See [Server.CertPEM].
func WithTLS(adjust ...func(*tls.Config)) Option {
	return serverOption(func(c *config) { c.tls, c.adjustTLS = true, append(c.adjustTLS, adjust...) })
}

// CertPEM is the certificate that clients must trust, PEM-encoded; nil without
// WithTLS.
func (s *Server) CertPEM() []byte { return s.certPEM }

// CertPool is a pool with that certificate alone; nil without WithTLS.
func (s *Server) CertPool() *x509.CertPool {
	if s.certPEM == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.certPEM)
	return pool
}

func (s *Server) enableTLS() error {
	cert, certPEM, err := selfSigned()
	if err != nil {
		return fmt.Errorf("backendtest: certificate: %w", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	for _, adjust := range s.cfg.adjustTLS {
		adjust(conf)
	}
	s.certPEM, s.host.tls = certPEM, conf
	s.host.trust = &tls.Config{RootCAs: s.CertPool(), MinVersion: tls.VersionTLS12}
	return nil
}

func selfSigned() (cert tls.Certificate, certPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "backendtest"},
		// Virtual time begins in the year 2000.
		NotBefore:             time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certPEM, nil
}
