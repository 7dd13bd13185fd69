# frozen_string_literal: true

require_relative "../apps/program"
require_relative "../../rakelib/dockerfile"

# The Dockerfile, as far as it can be told without building anything: bin/try-dockerfile does that.
RSpec.describe Dockerfile, :extension do
  text = File.read(File.join(Program::ROOT, "Dockerfile"))
  parsed = described_class.parse(text)

  it "is read with its continued lines joined, and without comments" do
    expect(described_class.parse("# a\nFROM debian:13-slim AS build\n\nRUN a && \\\n    b\n"))
      .to eq([["FROM", "debian:13-slim AS build"], ["RUN", "a && b"]])
  end

  it "has only instructions that bin/try-dockerfile carries out" do
    unknown = parsed.map(&:first).reject do |name|
      described_class::IGNORED.include?(name) || described_class.method_defined?(name.downcase)
    end

    expect(unknown).to be_empty
    expect(parsed.filter_map { |name, rest| rest[/\S+/] if name == "FROM" })
      .to all(satisfy { |image| described_class::SUITES.key?(image) })
  end

  it "copies what there is" do
    copied = parsed.filter_map { |name, rest| rest.split.first if name == "COPY" }
                   .grep_v(/\A--from=/)

    expect(copied).not_to be_empty
    expect(copied.map { |path| File.join(Program::ROOT, path) }).to all(satisfy do |path|
      File.exist?(path)
    end)
  end

  it "keeps what is built here out of what it copies" do
    ignored = File.readlines(File.join(Program::ROOT, ".dockerignore"), chomp: true)

    expect(ignored).to include("/target", "/tmp", "/pkg", "/.git", "**/*.so")
  end

  it "ends in a server that is the process itself, and no root's" do
    last = parsed.slice_before { |name, _| name == "FROM" }.to_a.last.to_h

    expect(JSON.parse(last["CMD"])).to eq(%w[ruby echo.rb])
    expect(last["USER"]).to eq("nobody")
  end
end
