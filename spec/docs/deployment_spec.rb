# frozen_string_literal: true

require "open3"
require_relative "../apps/program"
require_relative "../../rakelib/page"

# What docs/deployment.md shows of nginx and systemd, run by them.
RSpec.describe "docs/deployment.md", :extension, timeout: 90 do
  page = Page.new("docs/deployment.md")
  shown = ->(language) { page.blocks.find { |block| block.language == language }.code }
  describe "behind nginx" do
    nginx = Program.server("nginx")
    before { skip "there is no nginx (bin/setup test unpacks one)" unless nginx }

    around do |example|
      Dir.mktmpdir("nginx") do |directory|
        @directory = directory
        @ports = Program.free_ports(3)
        example.run
      end
    end

    # As the page has it, but for ports and files.
    def configuration(text)
      changes = {
        "listen 443" => "listen 127.0.0.1:#{@ports[2]}",
        "127.0.0.1:8080" => "127.0.0.1:#{@ports[0]}", "127.0.0.1:8081" => "127.0.0.1:#{@ports[1]}",
        "/etc/ssl/example.com.pem" => Certificate.chain_file.inspect,
        "/etc/ssl/example.com.key" => Certificate.key_file.inspect
      }
      site = changes.reduce(text) { |changed, (from, to)| changed.sub(from) { to } }
      paths = %w[client_body proxy fastcgi uwsgi scgi].map do |kind|
        "#{kind}_temp_path \"#{@directory}/#{kind}\";"
      end
      <<~NGINX
        daemon off;
        pid "#{@directory}/pid";
        error_log stderr notice;
        events {}
        http { access_log off; #{paths.join(" ")}
        #{site} }
      NGINX
    end

    def server(port)
      path = File.join(@directory, "#{port}.rb")
      File.write(path, page_program.sub(/^ *ws.onmessage.*$/, <<~RUBY))
        ws.onopen do |handshake|
          ws.send("\#{handshake.headers["X-Forwarded-For"]} \#{handshake.secure?}")
        end
        ws.onmessage { |text| ws.send("#{port} \#{text}") }
      RUBY
      Program.new(RbConfig.ruby, "-I", Program::LIBRARY, "-r", "em-websocket", path, port.to_s)
    end

    define_method(:page_program) { shown.call("ruby") }

    # The port of the server that a new client of nginx's has come to, and the client.
    def visit
      client = reach(@ports[2], tls: true)
      expect(client.read_text).to eq("127.0.0.1 true")
      client.text("hello")
      [Integer(client.read_text[/\A(\d+) hello\z/, 1]), client]
    end

    def leave(client)
      client.close(1000)
      client.read(:close)
    end

    it "serves every client while one server after the other is restarted" do
      servers = @ports.first(2).to_h { |port| [port, server(port)] }
      servers.each_key { |port| reach(port).disconnect }
      config = File.join(@directory, "nginx.conf")
      File.write(config, configuration(shown.call("nginx")))
      Program.run(nginx, "-p", @directory, "-c", config) do
        before, client = visit
        Process.kill("TERM", servers[before].pid)
        expect(client.read(:close).unpack1("n")).to eq(1001)
        client.close(1001)
        expect(servers[before].join).to be_success

        other = @ports.first(2) - [before]
        3.times do
          port, client = visit
          expect(port).to eq(other.first)
          leave(client)
        end
        servers[before].kill
        servers[before] = server(before)
        reach(before).disconnect
        Process.kill("TERM", servers[other.first].pid)
        expect(servers[other.first].join).to be_success
        expect(visit.first).to eq(before)
      end
    ensure
      servers&.each_value(&:kill)
    end
  end

  it "shows a unit that systemd takes" do
    verify = Program.server("systemd-analyze")
    skip "there is no systemd-analyze" unless verify
    Dir.mktmpdir("systemd") do |directory|
      unit = File.join(directory, "chat@8080.service")
      File.write(unit, shown.call("ini"))
      output, status = Open3.capture2e(verify, "verify", "--man=no", unit)
      expect([status.success?, output.lines.grep(/chat@/)]).to eq([true, []]), output
    end
  end
end
