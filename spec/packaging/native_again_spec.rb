# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "../apps/program"
require_relative "../../rakelib/native/again"
require_relative "../../rakelib/native/package"

# The comparison of `rake native:reproducible`, with gems that are built in an instant.
RSpec.describe NativeAgain, :extension do
  around do |example|
    Dir.mktmpdir("again") do |directory|
      @directory = directory
      example.run
    end
  end

  # A gem with one file, and its bill of materials.
  def gem(into, text: "same", version: "1.0", bill: "bill")
    FileUtils.mkdir_p(into)
    File.write(File.join(into, "file"), text)
    spec = Gem::Specification.new("again", version) do |one|
      one.files = ["file"]
      one.date = "2026-01-31"
      one.summary = one.description = one.authors = "again"
    end
    Dir.chdir(into) do
      Gem::DefaultUserInteraction.use_ui(Gem::SilentUI.new) do
        Gem::Package.build(spec, false, false, "again.gem")
      end
      File.write("again.cdx.json", bill)
    end
    File.join(into, "again.gem")
  end

  # Outcome where the second gem is this one.
  def compare(**second)
    build = method(:gem)
    again = described_class.new(Program::ROOT, @directory)
    allow(Checkout).to receive(:copy)
    again.define_singleton_method(:build) do |tree, _, _|
      build.call(File.join(tree, "pkg"), **second)
    end
    first = at_a_time { gem(File.join(@directory, "first")) }
    at_a_time { again.compare(first, "x86_64-linux") }
  rescue NativeAgain::Difference => e
    e.message
  end

  def at_a_time
    before = ENV.fetch("SOURCE_DATE_EPOCH", nil)
    ENV["SOURCE_DATE_EPOCH"] = "1700000000"
    yield
  ensure
    ENV["SOURCE_DATE_EPOCH"] = before
  end

  it "has nothing to say of the same bytes" do
    expect(compare).not_to be_a(String)
  end

  it "names the file that differs" do
    expect(compare(text: "other")).to eq("again.gem differs: file")
  end

  it "says so where only what RubyGems writes differs" do
    expect(compare(version: "1.1")).to eq("again.gem differs: its metadata")
  end

  it "compares the bill of materials" do
    expect(compare(bill: "other")).to eq("again.cdx.json differs: the file itself")
  end
end
