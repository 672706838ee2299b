package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"mime"
	"net/http"
	"path"
	texttemplate "text/template"
)

//go:embed assets
var files embed.FS

// assets are the templates, and the files which pages refer to. Immutable.
type assets struct {
	templates *template.Template
	content   map[string][]byte
	version   map[string]string // a hash of the content
}

func loadAssets() (*assets, error) {
	t, err := template.New("").Funcs(funcs()).ParseFS(files, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	a := &assets{templates: t, content: map[string][]byte{}, version: map[string]string{}}
	for _, name := range []string{"app.css", "app.js"} {
		b, err := files.ReadFile("assets/" + name)
		if err != nil {
			return nil, fmt.Errorf("read an asset: %w", err)
		}
		sum := sha256.Sum256(b)
		a.content[name], a.version[name] = b, hex.EncodeToString(sum[:6])
	}
	return a, nil
}

// link is the asset's URL relative to the root. It changes with the content, so that browsers may keep it.
func (a *assets) link(name string) string { return "assets/" + name + "?v=" + a.version[name] }

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	b, ok := s.assets.content[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if r.URL.Query().Get("v") == s.assets.version[name] {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	_, _ = w.Write(b) // the client may have gone
}

// render streams a page.
func (s *Server) render(w http.ResponseWriter, name string, v any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := s.assets.templates.ExecuteTemplate(w, name, v)
	if _, bug := errors.AsType[texttemplate.ExecError](err); bug {
		s.log.Error("a page could not be made, which is a bug", slog.String("page", name), slog.Any("err", err))
		panic(http.ErrAbortHandler)
	}
}
