# frozen_string_literal: true

require "pathname"

# One of this repository's Markdown pages, as GitHub shows it: headings and their anchors, links,
# tables and blocks of code. `rake doc` and spec/docs read pages by it.
class Page
  ROOT = File.expand_path("..", __dir__)

  # A place that a page points to. `path` is one of the repository; nil: it is elsewhere.
  Link = Struct.new(:target, :line, :path, :anchor, keyword_init: true)

  # A fenced block of code, and the heading above it.
  Block = Struct.new(:language, :code, :line, :heading, keyword_init: true)

  # @return [Array<Page>] every page of the repository
  def self.all
    paths = Dir.chdir(ROOT) { Dir["*.md", "docs/**/*.md", "{bench,fuzz,examples}/*.md"] }
    paths.sort.map { |path| new(path) }
  end

  # As GitHub makes an anchor of a heading's text.
  def self.slug(text)
    text.gsub(/\[([^\]]*)\]\([^)]*\)/, '\1').downcase.gsub(/[^\p{Word}\- ]/, "").tr(" ", "-")
  end

  # @return [String] its path in the repository
  attr_reader :path

  def initialize(path)
    @path = path
    @lines = File.readlines(File.join(ROOT, path), chomp: true, encoding: "UTF-8")
  end

  def text = @lines.join("\n")

  def title = headings.first

  # @return [Array<String>] the texts of its headings
  def headings = prose.filter_map { |line, _| line[/\A#+ +(.+)/, 1] }

  # @return [Array<String>] of its headings; one that is there already gets a number
  def anchors
    seen = Hash.new(0)
    headings.map { |heading| self.class.slug(heading) }.map do |slug|
      count = (seen[slug] += 1) - 1
      count.zero? ? slug : "#{slug}-#{count}"
    end
  end

  # @return [Array<Link>] its links and images
  def links
    prose.flat_map do |line, number|
      line.gsub(/`[^`]*`/, "``").scan(/\]\(([^)\s]+)\)/).flatten.map { |to| link(to, number) }
    end
  end

  # @return [Array<Block>]
  def blocks
    heading = opened = nil
    @lines.each.with_index(1).with_object([]) do |(line, number), blocks|
      if opened
        next opened.code << line << "\n" unless line.start_with?("```")

        blocks << opened
        opened = nil
      elsif (language = line[/\A```(\w*)\z/, 1])
        opened = Block.new(language: language, code: +"", line: number, heading: heading)
      else
        heading = line[/\A#+ +(.+)/, 1] || heading
      end
    end
  end

  # @return [Array<Array<String>>] the cells of each row of the tables below a heading
  def rows(heading)
    below = prose.map(&:first).drop_while { |line| line[/\A#+ +(.+)/, 1] != heading }.drop(1)
    table = below.take_while { |line| !line.start_with?("#") }.grep(/\A\|/).grep_v(/\A[|\- ]+\z/)
    table.map { |line| line.split("|").drop(1).map(&:strip) }
  end

  private

  # Its lines outside of blocks of code, with their numbers.
  def prose
    fenced = false
    @lines.each.with_index(1).reject do |line, _|
      fence = line.start_with?("```")
      fenced = !fenced if fence
      fenced || fence
    end
  end

  def link(target, number)
    return Link.new(target: target, line: number) if target.match?(/\A\w+:/)

    file, anchor = target.split("#", 2)
    path = file.empty? ? @path : File.join(File.dirname(@path), file)
    Link.new(target: target, line: number, path: Pathname(path).cleanpath.to_s, anchor: anchor)
  end
end
