package config

import (
	"log/slog"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/telemetry"
)

// Defaults of a document.
const (
	DefaultListen       = "127.0.0.1:8484"
	DefaultAdminListen  = "127.0.0.1:8485"
	DefaultDrainTimeout = 30 * time.Second
)

// Admin says where the admin listener is and who may use it.
type Admin struct {
	// Listen is a host and a port. Default 127.0.0.1:8485.
	Listen string `yaml:"listen"`
	// Token is the bearer token of the admin API, as text or as its
	// "sha256:<hex>" digest. Required when Listen is not loopback.
	Token auth.Value `yaml:"token"`
}

// Limits bound what the gateway may cost.
type Limits struct {
	// RequestBytes bounds the body of one request of a client. Default 8MiB.
	RequestBytes Size `yaml:"requestBytes"`
	// ResponseBytes bounds one answer of a backend. Default 100MiB.
	ResponseBytes Size `yaml:"responseBytes"`
	// Sessions is the number of client sessions open at once. Default 10000.
	Sessions int `yaml:"sessions"`
	// InFlightPerBackend is the number of requests at one backend at once, and of
	// processes of one. Default 1024.
	InFlightPerBackend int `yaml:"inFlightPerBackend"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `yaml:"level"`
	// Format is auto, text or json. Default auto: text on a terminal, JSON
	// elsewhere.
	Format string `yaml:"format"`
}

// SlogLevel is Level as slog has it.
func (l Log) SlogLevel() slog.Level {
	switch l.Level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// file is the document as it is written.
type file struct {
	Schema       string            `yaml:"$schema"` // for editors
	Listen       string            `yaml:"listen"`
	PublicURL    string            `yaml:"publicURL"`
	AllowedHosts []string          `yaml:"allowedHosts"`
	IncomingAuth caller.Options    `yaml:"incomingAuth"`
	Admin        Admin             `yaml:"admin"`
	Credentials  credentialSection `yaml:"credentials"`
	MCPServers   serverSection     `yaml:"mcpServers"`
	Catalog      catalog.Options   `yaml:"catalog"`
	Health       health.Options    `yaml:"health"`
	Sessions     session.Options   `yaml:"sessions"`
	Telemetry    telemetry.Options `yaml:"telemetry"`
	Limits       Limits            `yaml:"limits"`
	DrainTimeout time.Duration     `yaml:"drainTimeout"`
	Log          Log               `yaml:"log"`
}

// defaults is a document in which nothing is set. What is zero here has its
// default in the package that owns it.
func defaults() *file {
	return &file{
		Listen:       DefaultListen,
		Admin:        Admin{Listen: DefaultAdminListen},
		Limits:       Limits{RequestBytes: 8 << 20, ResponseBytes: 100 << 20, Sessions: session.DefaultMax, InFlightPerBackend: 1024},
		DrainTimeout: DefaultDrainTimeout,
		Log:          Log{Level: "info", Format: "auto"},
	}
}

// entry is one member of mcpServers. It adds to the options of a backend what
// clients write and what is more than an option of one backend.
type entry struct {
	backend.Options   `yaml:",inline"`
	catalog.Selection `yaml:",inline"`

	HTTPURL   string        `yaml:"httpUrl"`   // Gemini CLI
	ServerURL string        `yaml:"serverUrl"` // Windsurf
	Type      string        `yaml:"type"`
	Transport string        `yaml:"transport"` // another name of type
	Command   kept          `yaml:"command"`
	Args      kept          `yaml:"args"`
	Env       kept          `yaml:"env"`
	EnvFile   kept          `yaml:"envFile"`
	Cwd       kept          `yaml:"cwd"`
	Headers   headerList    `yaml:"headers"`
	Auth      authSection   `yaml:"auth"`
	Timeout   clientTimeout `yaml:"timeout"`
	Disabled  bool          `yaml:"disabled"`

	IncludeTools  []string `yaml:"includeTools"`  // Gemini CLI
	ExcludeTools  []string `yaml:"excludeTools"`  // Gemini CLI
	DisabledTools []string `yaml:"disabledTools"` // Roo Code

	who       string // its name in the document
	hasURL    bool
	urlKey    string // under which of its names the URL stands
	isProcess bool   // it is started, not called at a URL
}

// elsewhere are keys under which other programs keep their servers.
var elsewhere = map[string]string{
	"servers":         "VS Code",
	"inputs":          "VS Code",
	"context_servers": "Zed",
	"mcp":             "OpenCode",
	"mcp_servers":     "Codex",
}

// clientKeys are keys that clients write beside mcpServers.
var clientKeys = []string{
	"globalShortcut", "preferences", "scale", "locale", "userThemeMode", "theme", "isUsingBuiltInNodeForMcp", "isDxtAutoUpdatesEnabled",
}

func (f *file) decodeKey(d *decoder, m *member, path string) bool {
	if program, ok := elsewhere[m.key]; ok {
		d.add(m.mark, path, "is a key of "+program, "put the servers under mcpServers")
		return true
	}
	for _, k := range clientKeys {
		if k == m.key {
			d.warn(m, path, "", "it is a setting of a client")
			return true
		}
	}
	return false
}
