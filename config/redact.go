package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// hidden stands where a secret was.
const hidden = "<secret>"

// unreadable is shown in place of a file that is YAML only after %{NAME} is replaced: what may be shown of it cannot be
// told then.
const unreadable = "# Not shown: without the values of its %{NAME} references this file is not YAML.\n"

// redactText is a configuration as it may be shown: written anew from its nodes, without comments, with secrets hidden
// and %{NAME} as it was. It does not depend on whether the keys are known or the values valid.
func redactText(text []byte) string {
	// %{NAME} without quotes is no YAML. A word stands for it until the end.
	marked, restore := markReferences(text)
	var doc yaml.Node
	if err := yaml.Unmarshal(marked, &doc); err != nil {
		return unreadable
	}
	if len(doc.Content) == 0 {
		return ""
	}
	r := &redactor{visited: map[visit]bool{}, mark: restore.mark}
	r.node(doc.Content[0], "")
	r.renameAliases(doc.Content[0])
	out, err := encodeNode(doc.Content[0], maxEncodeNodes)
	if err != nil {
		return unreadable
	}
	return restore.text(string(out))
}

// references remembers the %{NAME} of a text and the words which stand for them.
type references struct {
	mark  string // what all words begin with
	names []string
}

func markReferences(text []byte) ([]byte, *references) {
	r := &references{mark: "ENV"}
	for i := 0; bytes.Contains(text, []byte(r.mark)); i++ {
		r.mark = fmt.Sprintf("ENV%dx", i)
	}
	var out []byte
	for {
		before, name, after := cutReference(text)
		out = append(out, before...)
		if name == nil {
			return out, r
		}
		out = fmt.Appendf(out, "%s%dz", r.mark, len(r.names))
		r.names = append(r.names, string(name))
		text = after
	}
}

// text puts %{NAME} back.
func (r *references) text(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, r.mark)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		digits, rest, _ := strings.Cut(after, "z")
		if i, err := strconv.Atoi(digits); err == nil && i < len(r.names) {
			b.WriteString("%{" + r.names[i] + "}")
		}
		s = rest
	}
}

// redactor hides secrets in a tree of nodes, in place.
type redactor struct {
	visited map[visit]bool
	anchors int    // renamed
	mark    string // what stands for %{NAME} begins with it
}

// visit is a node which was looked at as the value of a key.
type visit struct {
	node *yaml.Node
	key  string
}

// seen reports whether a node was visited before. Only one with an anchor can be met twice, with all that is below it.
func (r *redactor) seen(v visit) bool {
	if v.node.Anchor == "" {
		return false
	}
	if r.visited[v] {
		return true
	}
	r.visited[v] = true
	return false
}

// secretTrees are keys below which everything may be secret but the keys of this many levels, which are names.
var secretTrees = map[string]int{
	"params": 1, "headers": 1, "proxy_headers": 1, "proxy_connect_header": 1, "endpoint_params": 1, "claims": 1,
	"http_headers": 2,
}

// secretKey matches the keys whose value is a secret, in every section of both peers' files, the ones which are not
// supported included.
var secretKey = regexp.MustCompile(`(?i)(^|_)(passwords?|passwd|passphrase|secrets?|tokens?|credentials?|key)$`)

// node hides what is secret in n, the value of key. What an alias repeats is hidden where it stands first.
func (r *redactor) node(n *yaml.Node, key string) {
	n = resolve(n)
	if names, ok := r.secret(key); ok {
		r.hide(n, names)
		return
	}
	if r.seen(visit{n, key}) {
		return
	}
	dropComments(n)
	switch n.Kind {
	case yaml.ScalarNode:
		r.scalar(n, key)
	case yaml.SequenceNode:
		for _, c := range n.Content {
			r.node(c, key)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			r.key(k)
			name := resolve(k).Value
			switch {
			case name == "<<":
				r.node(v, key)
			case strings.HasPrefix(name, "__param_"), name == "replacement" && setsParam(n) && !isGroup(v):
				r.hide(v, 0)
			case (key == "labels" || key == "external_labels") && !strings.Contains(name, r.mark) && !strings.HasPrefix(name, "__"):
				r.node(v, "label") // labels are public, whatever they are called
			default:
				r.node(v, name)
			}
		}
	}
}

// key makes the key of a mapping presentable. It is a name, but what follows a colon in it is a value, for want of a
// blank.
func (r *redactor) key(k *yaml.Node) {
	dropComments(k)
	k = resolve(k)
	if k.Kind != yaml.ScalarNode {
		r.hide(k, 0)
	} else if name, _, ok := strings.Cut(k.Value, ":"); ok {
		k.Value = name + ":" + hidden
	}
}

func dropComments(n *yaml.Node) { n.HeadComment, n.LineComment, n.FootComment = "", "", "" }

// secret reports whether the value of a key has to be hidden, and in how many levels of it keys are names. What %{NAME}
// makes of a key is not known here.
func (r *redactor) secret(key string) (names int, ok bool) {
	if names, ok := secretTrees[key]; ok {
		return names, true
	}
	return 0, secretKey.MatchString(key) || strings.Contains(key, r.mark)
}

// setsParam reports whether a relabeling rule makes a URL parameter.
func setsParam(rule *yaml.Node) bool {
	for i := 0; i+1 < len(rule.Content); i += 2 {
		if resolve(rule.Content[i]).Value == "target_label" {
			return strings.HasPrefix(resolve(rule.Content[i+1]).Value, "__param_")
		}
	}
	return false
}

// isGroup reports whether a replacement is but a reference to what the regex matched.
func isGroup(n *yaml.Node) bool {
	s := strings.NewReplacer("$", "", "{", "", "}", "").Replace(resolve(n).Value)
	_, err := strconv.ParseUint(s, 10, 8)
	return err == nil && strings.HasPrefix(resolve(n).Value, "$")
}

// hide hides all of a tree, but the keys of its first levels of mappings.
func (r *redactor) hide(n *yaml.Node, names int) {
	n = resolve(n)
	if r.seen(visit{n, fmt.Sprintf("%s %d", hidden, names)}) {
		return
	}
	dropComments(n)
	if n.Anchor != "" { // it may have been meant as the value: `password: &secret`
		r.anchors++
		n.Anchor = fmt.Sprintf("hidden-%d", r.anchors)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if !isNull(n) {
			n.Value, n.Tag, n.Style = hidden, "!!str", 0
		}
	case yaml.SequenceNode:
		n.Tag = ""
		for _, c := range n.Content {
			r.hide(c, 0)
		}
	case yaml.MappingNode:
		n.Tag = ""
		for i := 0; i+1 < len(n.Content); i += 2 {
			if names > 0 {
				r.key(n.Content[i])
			} else {
				r.hide(n.Content[i], 0)
			}
			r.hide(n.Content[i+1], max(0, names-1))
		}
	}
}

// renameAliases makes aliases follow their anchors.
func (r *redactor) renameAliases(n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		dropComments(n)
		n.Value = n.Alias.Anchor
	}
	for _, c := range n.Content {
		r.renameAliases(c)
	}
}

// scalar hides what a URL, or a part of one, holds beside its address.
func (r *redactor) scalar(n *yaml.Node, key string) {
	s := n.Value
	switch {
	case key == "regex":
		return // a pattern: `https?://` is no URL
	case key == "targets", key == "metrics_path", key == "replacement", strings.HasPrefix(key, "__"):
		s = redactTarget(s)
	case strings.Contains(s, "//"):
		s = redactURL(s)
	}
	if s != n.Value {
		n.Value, n.Tag, n.Style = s, "!!str", 0
	}
}

// redactURL hides the user info and the values of the query of a URL. The user info goes up to the last @: a password
// which is not escaped may hold what would end it. Where that cannot be told from the query, all is hidden.
func redactURL(s string) string {
	scheme, rest, ok := strings.Cut(s, "//")
	if !ok {
		return s
	}
	return scheme + "//" + redactAddress(rest)
}

// redactTarget is redactURL for what may be an address without a scheme.
func redactTarget(s string) string {
	if strings.Contains(s, "://") {
		return redactURL(s)
	}
	return redactAddress(s)
}

func redactAddress(s string) string {
	at, end := strings.LastIndexByte(s, '@'), strings.IndexAny(s, "?#")
	if end >= 0 && at > end {
		return hidden
	}
	if at >= 0 {
		s = hidden + s[at:]
		end = strings.IndexAny(s, "?#")
	}
	if end < 0 {
		return s
	}
	out := s[:end+1]
	if s[end] == '#' {
		return out + hidden
	}
	for i, param := range strings.FieldsFunc(s[end+1:], func(r rune) bool { return r == '&' || r == ';' }) {
		if i > 0 {
			out += "&"
		}
		if name, _, ok := strings.Cut(param, "="); ok {
			out += name + "="
		}
		out += hidden
	}
	return out
}
