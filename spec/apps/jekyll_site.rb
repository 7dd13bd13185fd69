# frozen_string_literal: true

require_relative "program"

# A site of Jekyll's with one page, in a directory of its own.
module JekyllSite
  def self.included(group)
    group.around do |example|
      Dir.mktmpdir("jekyll") do |directory|
        @directory = directory
        FileUtils.mkdir(site)
        write_page("before")
        example.run
      end
    end
  end

  def site = File.join(@directory, "site")

  def features = File.join(@directory, "features")

  def write_page(text)
    File.write(File.join(site, "index.html"), <<~HTML)
      ---
      ---
      <html><head><title>A page</title></head><body>#{text}</body></html>
    HTML
  end

  # Jekyll with the site; the block gets it, its port and livereload's.
  def serve_site
    port, livereload_port = Program.free_ports(2)
    Program.application(
      "jekyll", "serve", "--livereload", "--port", port.to_s,
      "--livereload-port", livereload_port.to_s, features: features, chdir: site
    ) do |jekyll|
      jekyll.wait_for(/Server running/)
      yield jekyll, port, livereload_port
    end
  end
end
