# frozen_string_literal: true

require_relative "site"

desc "The pages of docs and YARD's documentation in one site, doc/index.html; its links all work"
task :doc do
  # Of YARD's Markdown libraries the one that reads tables and blocks as GitHub does.
  Gem::Specification.find_by_name("redcarpet")
  site = Site.new("tmp/site", "doc")
  readme, *files = site.write_sources
  options = ["--no-yardopts", "--no-cache", "--no-save", "--db", "tmp/yardoc", "--no-private",
             "--hide-api", "private", "--markup", "markdown", "--markup-provider", "redcarpet",
             "--title", "em-websocket-rs", "--readme", readme, "--output-dir", "doc"]
  quietly "yard", "yard", "doc", *options, "lib/**/*.rb", "-", *files, "LICENSE" do |output|
    "YARD warns" if output.match?(/^\[(warn|error)\]/)
  end
  site.finish
  broken = site.broken_links
  abort "doc: these links lead nowhere:\n#{broken.join("\n")}" if broken.any?
rescue Gem::MissingSpecError
  skip("doc", "redcarpet")
end
