# frozen_string_literal: true

require "json"
require_relative "program"

# Debian's adsf-live, which `nanoc view --live-reload` runs on too, as it is. It says
# EM::WebSocket.run within an EM.run of its own.
RSpec.describe "adsf --live-reload", timeout: 90 do
  livereload_port = 35_729

  around do |example|
    Dir.mktmpdir("adsf") do |directory|
      # As Listen has it, which looks at where the files really are.
      @directory = File.realpath(directory)
      FileUtils.mkdir(site)
      write_page("before")
      # Its port is always the same: two suites on one machine take turns.
      File.open(Program.find("adsf")) do |lock|
        lock.flock(File::LOCK_EX)
        example.run
      end
    end
  end

  def site = File.join(@directory, "site")

  def write_page(text)
    File.write(File.join(site, "index.html"), <<~HTML)
      <html><head><title>A page</title></head><body>#{text}</body></html>
    HTML
  end

  def features = File.join(@directory, "features")

  # adsf with a directory; the block gets it and its port.
  def serve_directory
    port, = Program.free_ports(1)
    Program.application(
      "adsf", "--live-reload", "--handler", "webrick", "--listen-address", "127.0.0.1",
      "--port", port.to_s, "--root", ".", features: features, chdir: site
    ) do |adsf|
      adsf.wait_for(/HTTPServer#start: pid=/, adsf.errors)
      yield adsf, port
    end
  end

  # Lines that WEBrick logs, and how a warning of Ruby's looks.
  def warnings(adsf) = adsf.errors.lines.grep(/warn|error|deprecat|em[-_]websocket/i)

  it "reloads the page of a client when a file changes" do
    serve_directory do |adsf, port|
      page = get(port).body
      expect(page)
        .to include("RACK_LIVERELOAD_PORT = #{livereload_port}", "/__rack/livereload.js?host=")
      expect(get(port, "/__rack/livereload.js").body).to include("LiveReload")
      client = connect(port: livereload_port, target: "/livereload")
      expect(JSON.parse(client.read_text)).to include("command" => "hello")
      write_page("after")

      expect(JSON.parse(client.read_text))
        .to match("command" => "reload", "path" => end_with("/index.html"))
      expect(get(port).body).to include("after")
      expect(adsf.stop).to be_success
      expect(warnings(adsf)).to be_empty
    end
    expect(features).to be_of_this_library
  end

  %w[INT TERM].each do |signal|
    it "stops on SIG#{signal}, and frees its ports" do
      serve_directory do |adsf, port|
        clients = Array.new(3) { connect(port: livereload_port).tap(&:read_text) }
        expect(adsf.stop(signal)).to be_success

        expect(clients).to all(be_eof)
        expect([port, livereload_port]).to all(be_free)
        expect(warnings(adsf)).to be_empty
      end
    end
  end

  it "has a server that is stopped and started from another thread" do
    port, = Program.free_ports(1)
    Program.ruby(Program.fixture("adsf_live"), port.to_s) do |program|
      2.times do |round|
        program.wait_for(/^started #{round}$/)
        client = connect(port: port)
        expect(JSON.parse(client.read_text)).to include("command" => "hello")
        Process.kill("USR1", program.pid)
        expect(JSON.parse(client.read_text)).to include("command" => "reload")
        Process.kill("USR1", program.pid)
        program.wait_for(/^stopped #{round}$/)
        expect(client).to be_eof
      end
      expect(program.join).to be_success
      expect(program.errors).to be_empty
    end
  end
end
