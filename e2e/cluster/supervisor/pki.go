package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the cluster's certificates and writes them, with their keys, to a folder.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         crypto.Signer
}

// writePKI makes the authority, what it signs and the key of service account tokens, and gives the authority's
// certificate as PEM.
func writePKI(c Cluster) ([]byte, error) {
	a := authority{dir: c.path("pki")}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	ca, err := a.establish("cluster-ca")
	if err != nil {
		return nil, err
	}
	errs := []error{
		a.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, c.NodeIP(1), c.ServiceIP(1), "127.0.0.1", "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
		a.issue("kubelet-client", pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}}),
		a.issue("front-proxy", pkix.Name{CommonName: "front-proxy"}),
		a.writeServiceAccountKey(),
	}
	for i := 1; i <= c.Nodes; i++ {
		errs = append(errs, a.issue(nodeName(i), pkix.Name{CommonName: nodeName(i)}, nodeName(i), c.NodeIP(i)))
	}
	return ca, errors.Join(errs...)
}

// establish makes the authority's own key and certificate, which it gives as PEM.
func (a *authority) establish(name string) ([]byte, error) {
	wanted, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return nil, err
	}
	wanted.IsCA, wanted.BasicConstraintsValid = true, true
	wanted.KeyUsage |= x509.KeyUsageCertSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a.certificate, a.key = wanted, key // signs itself
	der, err := a.sign("ca", wanted, key)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// issue makes a key and a certificate for server and client use; names are DNS names or addresses.
func (a *authority) issue(file string, subject pkix.Name, names ...string) error {
	wanted, err := newTemplate(subject)
	if err != nil {
		return err
	}
	wanted.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			wanted.IPAddresses = append(wanted.IPAddresses, address)
		} else {
			wanted.DNSNames = append(wanted.DNSNames, name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, err = a.sign(file, wanted, key)
	return err
}

// sign writes <file>.key and <file>.crt and gives the certificate's bytes.
func (a *authority) sign(file string, wanted *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, wanted, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := a.write(file+".key", "PRIVATE KEY", private, 0o600); err != nil {
		return nil, err
	}
	return der, a.write(file+".crt", "CERTIFICATE", der, 0o644)
}

// writeServiceAccountKey makes the key that signs and checks service account tokens.
func (a *authority) writeServiceAccountKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return a.write("sa.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), 0o600)
}

func (a *authority) write(file, kind string, der []byte, mode os.FileMode) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(a.dir, file), text, mode)
}

// newTemplate is what all certificates share: valid for a year, since a cluster lives for hours.
func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, err
}
