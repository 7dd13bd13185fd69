# frozen_string_literal: true

require "json"
require_relative "jekyll_site"

# Debian's Jekyll, as it is. Its livereload server is a subclass of Connection, given to
# EM.start_server, that answers plain HTTP in `dispatch`.
RSpec.describe "jekyll serve --livereload", timeout: 60 do
  include JekyllSite

  before { File.write(File.join(site, "_config.yml"), "title: A site\n") }

  it "reloads the page of a client when a file changes" do
    serve_site do |jekyll, port, livereload_port|
      expect(get(port).body).to include("livereload.js?snipver=1&amp;port=#{livereload_port}")
      client = connect(port: livereload_port, target: "/livereload")
      expect(JSON.parse(client.read_text))
        .to include("command" => "hello", "serverName" => "jekyll")
      client.text(JSON.generate(command: "url", url: "http://127.0.0.1/from-the-client"))
      jekyll.wait_for(%r{Browser URL: http://127.0.0.1/from-the-client})
      write_page("after")

      expect(JSON.parse(client.read_text)).to include("command" => "reload", "path" => "/")
      expect(get(port).body).to include("after")
      expect(jekyll.stop).to be_success
      expect(jekyll.errors).to be_empty
    end
    expect(features).to be_of_this_library
  end

  it "serves livereload.js, and nothing else, on the port of its WebSocket" do
    serve_site do |jekyll, _, livereload_port|
      script = get(livereload_port, "/livereload.js?snipver=1")
      other = get(livereload_port, "/other")

      expect(script.body.bytesize).to eq(Integer(script["Content-Length"])).and be > 10_000
      expect(script.body).to include("LiveReload")
      expect([other.code, other.body])
        .to eq(["400", "This port only serves livereload.js over HTTP.\n"])
      expect(jekyll.errors).to be_empty
    end
  end

  it "stops on Ctrl-C, and frees its ports" do
    serve_site do |jekyll, *ports|
      clients = Array.new(3) { connect(port: ports.last).tap(&:read_text) }
      expect(jekyll.stop("INT")).to be_success

      expect(clients).to all(be_eof)
      expect(ports).to all(be_free)
      expect(jekyll.errors).to be_empty
    end
  end
end
