# frozen_string_literal: true

require "cgi"
require "fileutils"
require "pathname"
require_relative "page"

# The site of `rake doc`: YARD's documentation, with the pages as files of it. YARD keeps all files
# in one directory, so they get names of their own there, and their links are made to fit.
class Site
  # Names of pages that would be README or the like; every other page keeps its file's.
  NAMES = {
    "README.md" => "README", "docs/README.md" => "documentation",
    "bench/README.md" => "measurements", "fuzz/README.md" => "fuzzing",
    "examples/README.md" => "examples",
    "SECURITY.md" => "vulnerabilities", "CHANGELOG.md" => "changelog",
    "CONTRIBUTING.md" => "contributing"
  }.freeze

  # Order of the pages in the list of files; those that are not here come last.
  FIRST = %w[README documentation upgrading options connections authentication tls subclassing
             deployment monitoring security reliability tuning compat architecture].freeze

  # Targets of links.
  ANCHOR = /\b(?:id|name)=["']([^"']+)["']/

  # Links that go somewhere.
  LINK = /<(?:a|img|link|script|iframe)\b[^>]*?\b(?:href|src)=["']([^"']+)["']/
  private_constant :ANCHOR, :LINK

  # @param sources [String] the directory that the pages are written to, for YARD
  # @param output [String] the directory of the site
  def initialize(sources, output)
    @sources = sources
    @output = output
    @pages = Page.all.to_h { |page| [page.path, page] }
    @names = @pages.to_h { |path, _| [path, NAMES.fetch(path) { File.basename(path, ".md") }] }
  end

  # Writes the pages for YARD.
  #
  # @return [Array<String>] their paths, README first
  def write_sources
    FileUtils.rm_rf([@sources, @output])
    FileUtils.mkdir_p(@sources)
    paths = @pages.values.map do |page|
      File.join(@sources, "#{@names[page.path]}.md").tap { |path| File.write(path, source(page)) }
    end
    paths.sort_by { |path| [FIRST.index(File.basename(path, ".md")) || FIRST.size, path] }
  end

  # Gives the headings of what YARD has made the anchors that links go to, and copies files that are
  # pointed to.
  def finish
    @pages.each_value { |page| give_anchors(page) }
    @pages.values.flat_map(&:links).filter_map(&:path).uniq.each { |path| copy(path) }
  end

  # @return [Array<String>] links that lead nowhere, as "file: link"
  def broken_links
    contents = Dir["#{@output}/**/*.html"].grep_v(%r{/files/}).to_h { |file| [file, read(file)] }
    anchors = contents.transform_values { |html| html.scan(ANCHOR).flatten }
    contents.flat_map do |file, html|
      html.scan(LINK).flatten.uniq
          .reject { |target| good?(file, CGI.unescapeHTML(target), anchors) }
          .map { |target| "#{file}: #{target}" }
    end
  end

  private

  def read(file) = File.read(file, encoding: "UTF-8")

  def source(page)
    lines = page.text.lines
    page.links.select(&:path).group_by(&:line).each do |number, links|
      links.each do |link|
        lines[number - 1] = lines[number - 1].sub("](#{link.target})", "](#{target(page, link)})")
      end
    end
    "# @title #{page.title}\n#{lines.join}\n"
  end

  def target(page, link)
    anchor = link.anchor && "##{link.anchor}"
    return anchor if link.path == page.path && anchor

    "#{href(link.path)}#{anchor}"
  end

  def href(path)
    return "file.#{@names[path]}.html" if @names[path]

    "files/#{path}#{"/index.html" if File.directory?(File.join(Page::ROOT, path))}"
  end

  def give_anchors(page)
    files = ["file.#{@names[page.path]}.html", ("index.html" if page.path == "README.md")].compact
    files.each do |name|
      path = File.join(@output, name)
      head, contents = read(path).split(/(?=<div id=["']filecontents["']>)/, 2)
      anchors = page.anchors
      contents = contents.gsub(/<h([1-6])[^>]*>/) do
        "<h#{Regexp.last_match(1)} id=\"#{anchors.shift}\">"
      end
      raise "#{name}: #{anchors.size} headings are missing" if anchors.any?
      raise "#{name}: Markdown is left" if contents.match?(/^```|^\|---/)

      File.write(path, head + contents)
    end
  end

  def copy(path)
    return if @names[path]

    from = File.join(Page::ROOT, path)
    to = File.join(@output, "files", path)
    FileUtils.mkdir_p(File.dirname(to))
    return FileUtils.cp(from, to) unless File.directory?(from)

    FileUtils.cp_r(from, to)
    list = Dir.children(from).sort.map { |name| %(<li><a href="#{name}">#{name}</a></li>) }
    File.write(File.join(to, "index.html"), <<~HTML)
      <!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>#{path}</title>
      <h1>#{path}</h1><ul>#{list.join}</ul></html>
    HTML
  end

  def good?(file, target, anchors)
    return true if target.match?(/\A(?:https?|javascript|mailto|data):/) || target == "#"

    path, anchor = target.split("#", 2)
    path = CGI.unescape(path.split("?").first.to_s)
    there = path.empty? ? file : Pathname(File.join(File.dirname(file), path)).cleanpath.to_s
    return false unless File.file?(there)

    anchor.nil? || anchor.empty? || anchors.fetch(there, []).include?(CGI.unescape(anchor))
  end
end
