# frozen_string_literal: true

require "json"
require "uri"
require "yaml"
require_relative "../../rakelib/page"

# README, docs and the other pages: what they point to is there, and their code is code.
RSpec.describe "the pages", :extension do
  pages = Page.all
  anchors = pages.to_h { |page| [page.path, page.anchors] }

  it "are all in the index of docs" do
    index = Page.new("docs/README.md")
    listed = index.links.map(&:path)
    there = Dir.chdir(Page::ROOT) { Dir["docs/*.md"] }
    expect(there).to match_array([index.path, *listed].grep(%r{\Adocs/}))
  end

  it "have examples in YARD's comments that are Ruby" do
    files = Dir[File.join(Page::ROOT, "lib/**/*.rb")]
    examples = files.flat_map { |file| File.read(file).scan(/^ *# @example.*\n((?: *#   .*\n)+)/) }
    expect(examples.size).to be >= 10
    expect(examples.flatten.map { |code| code.gsub(/^ *#   /, "") })
      .to all(satisfy("be Ruby") { |code| RubyVM::InstructionSequence.compile(code) })
  end

  pages.each do |page|
    describe page.path do
      it "points to files and headings that are there" do
        broken = page.links.select(&:path).reject do |link|
          File.exist?(File.join(Page::ROOT, link.path)) &&
            (link.anchor.nil? || anchors.fetch(link.path, []).include?(link.anchor))
        end
        expect(broken.map { |link| "line #{link.line}: #{link.target}" }).to be_empty
      end

      it "points elsewhere by https" do
        elsewhere = page.links.reject(&:path).map(&:target)
        expect(elsewhere).to all(satisfy("be a URL of https") do |target|
          URI(target).is_a?(URI::HTTPS) && URI(target).host
        end)
      end

      it "ends each block of code that it begins" do
        expect(page.text.lines.grep(/\A```/).size).to be_even
      end

      page.blocks.each do |block|
        check = "line #{block.line}, #{block.language}"

        case block.language
        when "ruby"
          it "shows Ruby (#{check})" do
            expect { RubyVM::InstructionSequence.compile(block.code) }.not_to raise_error
          end
        when "sh"
          it "shows commands that are there (#{check})" do
            expect(block.code.lines.filter_map { |line| missing(line) }).to be_empty
          end
        when "yaml" then it("shows YAML (#{check})") { YAML.safe_load(block.code) }
        when "json" then it("shows JSON (#{check})") { JSON.parse(block.code) }
        when "js"
          it "shows JavaScript (#{check})" do
            skip "there is no node" unless system("node", "--version", %i[out err] => File::NULL)
            read, write = IO.pipe
            write << block.code
            write.close
            expect(system("node", "--check", "-", in: read)).to be true
          end
        end
      end
    end
  end

  # The word of a shell line that is no command: of this repository, of rake, or of the system.
  def missing(line)
    words = line.sub(/\s#.*/, "").split.drop_while { |word| word.match?(/\A[A-Z_]+=/) }
    command, task = words
    return if command.nil? || command.start_with?("#")
    return (task unless tasks.include?(task)) if command == "rake" && task && !task.start_with?("-")

    here = File.executable?(File.join(Page::ROOT, command))
    command unless command.include?("/") ? here : system_commands.include?(command)
  end

  def system_commands = %w[bundle cargo gem openssl perf rake rspec ruby]

  def tasks
    @tasks ||= Dir.chdir(Page::ROOT) { `rake -AT`.scan(/^rake (\S+)/).flatten }
  end
end
