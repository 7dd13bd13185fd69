# frozen_string_literal: true

require "open3"
require "yaml"
require_relative "../apps/program"
require_relative "../../rakelib/page"

# Configurations of nginx, systemd and others in docs/deployment.md, run by them where they are
# there.
RSpec.describe "docs/deployment.md", :extension, timeout: 90 do
  page = Page.new("docs/deployment.md")
  shown = ->(language) { page.blocks.find { |block| block.language == language }.code }
  block_with = ->(text) { page.blocks.find { |block| block.code.start_with?(text) }.code }
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
          ws.send("\#{ws.remote_ip} \#{handshake.secure?}")
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

  # Runs a command in a directory with these files.
  def run_in(files, *command, env: {}, &block)
    Dir.mktmpdir("app") do |directory|
      files.each { |name, code| File.write(File.join(directory, name), code) }
      env = { "RUBYLIB" => Program::LIBRARY, **env }
      Program.run(*command, chdir: directory, env: env, &block)
    end
  end

  describe "systemd" do
    files = { "chat.rb" => shown.call("ruby"), "notify.rb" => block_with.call("# notify.rb") }
    # The directory's path is on one end of a socket's, and an abstract name is of none.
    { "a path" => ->(path) { [path, path] },
      "an abstract name" => ->(path) { ["@#{path}", "\0#{path}"] } }.each do |kind, names|
      it "is told by #{kind} that the server is ready, alive, and stopping" do
        Dir.mktmpdir("notify") do |directory|
          name, address = names.call(File.join(directory, "socket"))
          port, = Program.free_ports(1)
          systemd = Addrinfo.unix(address, :DGRAM).bind
          env = { "NOTIFY_SOCKET" => name, "WATCHDOG_USEC" => "200000" }
          said = -> { systemd.wait_readable(20) && systemd.recv(100) }
          run_in(files, "ruby", "-r", "./notify.rb", "chat.rb", port.to_s, env: env) do |chat|
            expect(said.call).to eq("READY=1")
            reach(port).disconnect
            expect(Array.new(3) { said.call }).to eq(["WATCHDOG=1"] * 3)
            expect(chat.stop("TERM")).to be_success
            last = said.call while last != "STOPPING=1"
          end
        ensure
          systemd&.close
        end
      end
    end

    it "hears nothing of a server that cannot listen" do
      taken = TCPServer.new("127.0.0.1", 0)
      Dir.mktmpdir("notify") do |directory|
        systemd = Addrinfo.unix(File.join(directory, "socket"), :DGRAM).bind
        env = { "NOTIFY_SOCKET" => systemd.local_address.unix_path }
        command = ["ruby", "-r", "./notify.rb", "chat.rb", taken.addr[1].to_s]
        run_in(files, *command, env: env) do |chat|
          expect(chat.join).not_to be_success
          expect(systemd.recv_nonblock(100, exception: false)).to eq(:wait_readable)
        end
      ensure
        systemd&.close
      end
    ensure
      taken&.close
    end

    it "hands its socket over, and clients are told at the end" do
      activate = Program.server("systemd-socket-activate")
      skip "there is no systemd-socket-activate" unless activate
      port, = Program.free_ports(1)
      shown_program = block_with.call("# socket.rb")
      expect(shown_program).to include("within: 30")
      program = { "socket.rb" => shown_program.sub("within: 30", "within: 0.2") }
      command = [activate, "-l", "127.0.0.1:#{port}", "-E", "RUBYLIB", RbConfig.ruby, "socket.rb"]
      run_in(program, *command) do |server|
        client = reach(port)
        client.text("hello")
        expect(client.read_text).to eq("hello")
        Process.kill("TERM", server.pid)
        expect(client.read(:close).unpack1("n")).to eq(1012)
        client.close(1012)
        expect(server.join).to be_success
      end
    end

    it "takes the units" do
      verify = Program.server("systemd-analyze")
      skip "there is no systemd-analyze" unless verify
      names = %w[chat@8080.service chat.socket chat.service]
      units = page.blocks.select { |block| block.language == "ini" }.map(&:code)
      expect(units.size).to eq(names.size)
      Dir.mktmpdir("systemd") do |directory|
        paths = names.map { |name| File.join(directory, name) }
        paths.zip(units) { |path, unit| File.write(path, unit) }
        output, status = Open3.capture2e(verify, "verify", "--man=no", *paths)
        expect([status.success?, output.lines.grep(/chat/)]).to eq([true, []]), output
      end
    end
  end

  describe "where a platform runs it" do
    # The page's server, by this command of a shell.
    def run_line(line, env = {}, &block)
      run_in({ "chat.rb" => page_program }, "sh", "-c", "exec #{line}", env: env, &block)
    end

    define_method(:page_program) { shown.call("ruby") }

    it "is started by its Procfile, and ends within the time that it has" do
      line = shown.call("procfile")[/\Aweb: (.+)$/, 1]
      host = line[/\A\w+=(\S+) /, 1]
      port, = Program.free_ports(1)
      run_line("env #{line}", { "PORT" => port.to_s }) do |server|
        client = reach(port)
        expect(host).to eq("0.0.0.0")
        client.text("hello")
        expect(client.read_text).to eq("hello")
        Process.kill("TERM", server.pid)
        expect(client.read(:close).unpack1("n")).to eq(1001)
        client.close(1001)
        expect(server.join).to be_success
      end
    end

    it "is healthy until it shuts down, by Docker's check" do
      check = shown.call("dockerfile")[/\AHEALTHCHECK CMD (.+)$/, 1]
      port, = Program.free_ports(1)
      healthy = -> { system("sh", "-c", check.sub("8080", port.to_s), err: File::NULL) }
      expect(healthy.call).to be false
      run_line("ruby chat.rb #{port}") do |server|
        reach(port)
        expect(healthy.call).to be true
        Process.kill("TERM", server.pid)
        expect(healthy.call).to be false
      end
    end

    it "has the time in Kubernetes that it takes to end" do
      pod = YAML.safe_load(shown.call("yaml")).dig("spec", "template", "spec")
      container = pod.fetch("containers").first
      before = Integer(container.dig("lifecycle", "preStop", "exec", "command").last)
      graceful = Integer(page_program[/graceful: (\d+)/, 1])
      expect(pod["terminationGracePeriodSeconds"]).to be > before + graceful
      probe = container.dig("readinessProbe", "httpGet")
      expect(page_program).to include("#{probe["path"].inspect} => :health")
      expect([probe["port"].to_s, container["ports"].first["containerPort"].to_s])
        .to eq([container["command"].last] * 2)
    end
  end
end
