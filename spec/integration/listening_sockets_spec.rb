# frozen_string_literal: true

require "socket"
require "tmpdir"

# Servers that share a port, or listen on a socket that they are given: `:reuse_port`, `:socket`.
RSpec.describe EventMachine::WebSocket, "and sockets that several have", :extension do
  def served?(port)
    connect(port: port).tap { |client| client.text("there?") }.read_text == "there?"
  end

  describe ":socket" do
    def listener = @listener ||= TCPServer.new("127.0.0.1", 0)
    def port = listener.local_address.ip_port

    after { @listener&.close unless @listener&.closed? }

    def serve_socket(socket, options = {}, &block)
      serve({ host: nil, port: nil, socket: socket, **options }, &block)
    end

    {
      "a TCPServer" => ->(it) { it },
      "a Socket" => ->(it) { Socket.for_fd(it.fileno).tap { |socket| socket.autoclose = false } },
      "a descriptor's number" => :fileno.to_proc,
      "an object that has one" => ->(it) { Struct.new(:to_io).new(it) }
    }.each do |what, make|
      it "may be #{what}, which stays its owner's" do
        serve_socket(make.call(listener))
        expect([server.port, served?(port)]).to eq([port, true])
        server.stop
        client = Socket.tcp("127.0.0.1", port)
        expect(listener.accept.close).to be_nil
      ensure
        client&.close
      end
    end

    it "may be a UNIXServer's, whose file is its owner's, too" do
      Dir.mktmpdir do |directory|
        path = File.join(directory, "app.sock")
        @listener = UNIXServer.new(path)
        serve_socket(listener)
        client = connect(port: 80, path: path)
        client.text("there?")
        expect(client.read_text).to eq("there?")
        expect(Socket.unpack_sockaddr_un(server.call do
                                           EM.get_sockname(server.signature)
                                         end)).to eq(path)
        server.stop
        expect(File).to exist(path)
      end
    end

    it "may be one in Linux's abstract namespace" do
      name = "\0em-websocket-#{Process.pid}"
      @listener = UNIXServer.new(name)
      serve_socket(listener)
      expect(connect(port: 80, path: name).response[:status]).to include("101")
      expect(Socket.unpack_sockaddr_un(server.call do
                                         EM.get_sockname(server.signature)
                                       end)).to start_with(name)
    end

    it "is served by TLS, and with its own setting for Nagle's algorithm" do
      listener.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 0)
      serve_socket(listener, secure: true, tls_options: Certificate.tls_options)
      client = connect(port: port, tls: true)
      client.text("there?")
      expect(client.read_text).to eq("there?")
      expect(listener.getsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY).int).to eq(0)
    end

    it "may be closed by its owner while it is served" do
      number = port
      serve_socket(listener)
      listener.close
      expect(served?(number)).to be(true)
    end

    it "is shared by several servers of a process" do
      2.times { serve_socket(listener) }
      expect(Array.new(4) { served?(port) }).to all(be(true))
    end

    it "is served by the workers of a parent that forks, until the last one ends" do
      said = run_apart(<<~'RUBY' + Apart::CLIENT + <<~'MORE')
        require "socket"
        $stdout.sync = true
        listener = TCPServer.new("127.0.0.1", 0)
        workers = Array.new(2) do
          reader, writer = IO.pipe
          pid = fork do
            EM::WebSocket.singleton_class.prepend(Module.new { def puts(*) = nil })
            EM.next_tick { EM.next_tick { writer.puts } }
            EM::WebSocket.start(socket: listener, graceful: { timeout: 0.2, within: 0 }) do |ws|
              ws.onopen { ws.send(Process.pid.to_s.rjust(8)) }
            end
            exit!(0)
          end
          reader.gets
          pid
        end
      RUBY
        seen = lambda do |count|
          Array.new(count) { client(listener.local_address.ip_port).tap { |it| it.read(2) }.read(8).to_i }
        end
        puts (seen.call(100).uniq - workers).size
        Process.kill(:TERM, workers.first)
        Process.wait(workers.first)
        puts seen.call(20).uniq == [workers.last]
        Process.kill(:TERM, workers.last)
        puts Process.wait2(workers.last).last.success?
      MORE
      expect(said).to eq("0\ntrue\ntrue\n")
    end

    wrong = {
      "an IO that is none" => [-> { File.open(File::NULL) }, "socket: the descriptor is no socket"],
      "a socket that does not listen" =>
        [-> { Socket.new(:INET, :STREAM) },
         "socket: the descriptor is a socket that does not listen"],
      "one of datagrams" => [-> { UDPSocket.new }, "socket: the descriptor is no stream socket"],
      "one that is closed" =>
        [-> { TCPServer.new("127.0.0.1", 0).tap(&:close) }, "socket: it is closed"],
      "a number that is none" =>
        [-> { 9999 }, /\Asocket: the descriptor cannot be had: Bad file descriptor/],
      "a negative number" => [-> { -1 }, /\Asocket: the descriptor cannot be had/],
      "anything else" =>
        [-> { "3" }, 'socket: "3" is no socket that listens: give a TCPServer, UNIXServer or ' \
                     'Socket, a descriptor\'s number, :systemd, or [:systemd, "name"]'],
      "a strange Array" => [lambda {
                              [:systemd, 1]
                            }, /\Asocket: \[:systemd, 1\] is no socket that listens/]
    }
    wrong.each do |what, (make, text)|
      it "is refused where it is #{what}" do
        given = make.call
        expect { serve_socket(given) }.to raise_error(ArgumentError, text)
      ensure
        given.close if given.respond_to?(:close) && !given.closed?
      end
    end

    it "is the application's own beside a :port, and warned of where it can be nobody's else" do
      before = $stderr
      $stderr = StringIO.new
      [{ socket: 3, mode: "fast", unix: true }, { socket: :systemd }, { unix: "/run/x.sock" },
       { socket: listener }].each { |own| serve(own).stop }
      expect($stderr.string.lines.map { |line| line[/: (:\w+) is passed over/, 1] })
        .to eq(%w[:socket :unix :socket])
    ensure
      $stderr = before
    end

    it "and the other new options are asked for where their names are nearly right" do
      spelling = described_class.const_get(:Spelling)
      spelling.instance_variable_get(:@warned).clear
      before = $stderr
      $stderr = StringIO.new
      serve(reuse_prot: 1, sockets: 2, node: 3).stop
      serve_socket(listener, modes: 1).stop
      expect($stderr.string.lines).to eq(
        ["em-websocket: unknown option :reuse_prot; did you mean :reuse_port?\n",
         "em-websocket: unknown option :modes; did you mean :mode?\n"]
      )
    ensure
      $stderr = before
    end
  end

  describe "socket: :systemd" do
    # As systemd does it: it listens, and the process that becomes the program has the variables.
    def activated(program, names: nil, count: 1, pid: "Process.pid")
      run_apart(<<~RUBY)
        require "fcntl"
        require "socket"
        sockets = Array.new(#{count}) { TCPServer.new("127.0.0.1", 0) }
        program = #{(Apart::CLIENT + program).inspect}
        pid = fork do
          copies = sockets.map { |socket| IO.for_fd(socket.fcntl(Fcntl::F_DUPFD, 64), autoclose: false) }
          passed = copies.each_with_index.to_h { |copy, index| [3 + index, copy] }
          ENV["LISTEN_PID"] = (#{pid}).to_s
          ENV["LISTEN_FDS"] = "#{count}"
          #{"ENV['LISTEN_FDNAMES'] = #{names.inspect}" if names}
          ports = sockets.map { |socket| socket.local_address.ip_port.to_s }
          exec(#{RbConfig.ruby.inspect}, "-I", #{Apart::LIBRARY.inspect}, "-r", "em-websocket", "-e",
               program, *ports, **passed, close_others: true)
        end
        Process.wait(pid)
      RUBY
    end

    # Serves on what the options say, and says which of the ports that is.
    def serving(options)
      <<~RUBY
        EM.run do
          EM::WebSocket.run(#{options}) { |ws| ws.onopen { ws.send("hello") } }
          Thread.new do
            answers = ARGV.map do |port|
              socket = Socket.tcp("127.0.0.1", port.to_i)
              socket.wait_readable(0.3)
              socket.close
              stats = nil
              EM.next_tick { stats = EM::WebSocket.stats[:accepted] }
              sleep 0.01 until stats
              stats
            end
            puts "\#{answers.inspect} \#{3.upto(2 + ARGV.size).map { |fd| IO.for_fd(fd, autoclose: false).close_on_exec? }}"
            EM.next_tick { EM.stop }
          end
        end
      RUBY
    end

    it "is the one that was passed, which no other program gets" do
      expect(activated(serving("socket: :systemd"))).to eq("[1] [true]\n")
    end

    it "is the one with the name that is asked for" do
      expect(activated(serving("socket: [:systemd, 'web']"), count: 2, names: "admin:web"))
        .to eq("[0, 1] [true, true]\n")
    end

    # Text of what it raises.
    def refused(options, **activation)
      activated(<<~RUBY, **activation)
        EM.run do
          EM::WebSocket.run(#{options}) {}
        rescue ArgumentError => e
          puts e.message
          EM.stop
        end
      RUBY
    end

    it "is refused where there are several, and none or no such one is named" do
      expect(refused("socket: :systemd", count: 2, names: "admin:web")).to eq(
        "socket: systemd has passed 2 sockets (3: admin, 4: web): name one, such as " \
        "[:systemd, \"name\"], or give its number\n"
      )
      expect(refused("socket: [:systemd, 'chat']", count: 2, names: "admin:web")).to eq(
        "socket: systemd has passed no socket with the name \"chat\", but 3: admin, 4: web\n"
      )
    end

    it "is refused where it was passed to another process" do
      expect(refused("socket: :systemd", pid: "1")).to match(
        /\Asocket: systemd has passed its sockets to the process 1 \(LISTEN_PID\), and this is \d+:/
      )
    end

    it "is refused where there is none" do
      text = "socket: systemd has passed no socket (LISTEN_FDS): start the program by a socket " \
             "unit, or give :host and :port"
      expect { serve(port: nil, socket: :systemd) }.to raise_error(ArgumentError, text)
      expect(refused("socket: :systemd", count: 0)).to eq("#{text}\n")
    end
  end

  describe ":reuse_port" do
    program = Apart::CLIENT + <<~'RUBY'
      $stdout.sync = true
      reserved = Socket.new(:INET, :STREAM).tap { |it| it.setsockopt(:SOCKET, :REUSEPORT, true) }
      reserved.bind(Addrinfo.tcp("127.0.0.1", 0))
      port = reserved.local_address.ip_port
      workers = Array.new(2) do
        reader, writer = IO.pipe
        pid = fork do
          EM::WebSocket.singleton_class.prepend(Module.new { def puts(*) = nil })
          EM.next_tick { EM.next_tick { writer.puts } }
          EM::WebSocket.start(host: "127.0.0.1", port: port, reuse_port: true) do |ws|
            ws.onopen { ws.send(Process.pid.to_s.rjust(8)) }
          end
          exit!(0)
        end
        reader.gets
        pid
      end
      seen = Array.new(200) { client(port).tap { |it| it.read(2) }.read(8).to_i }
      puts seen.uniq.sort == workers.sort
      begin
        EM.run { EM::WebSocket.run(host: "127.0.0.1", port: port) {} }
      rescue RuntimeError => e
        puts e.cause.class
      end
      workers.each { |pid| Process.kill(:TERM, pid) }
      puts workers.map { |pid| Process.wait2(pid).last.success? }.inspect
    RUBY

    it "divides the clients among two processes, and keeps out those who do not say so" do
      expect(run_apart(program)).to eq("true\nErrno::EADDRINUSE\n[true, true]\n")
    end

    it "answers whoever waits to be accepted with 503 when it stops" do
      serve(reuse_port: true)
      waiting = server.call do
        # The sockets' thread is in nobody's way: what it accepts meanwhile is told later.
        clients = Array.new(20) { dial }
        clients.each { |client| client.write(client.request) }
        EM.stop_server(server.signature)
        clients
      end
      statuses = waiting.map { |client| client.read_response&.fetch(:status).to_s[/\d{3}/] }
      expect(statuses - %w[101 503]).to be_empty
      expect(described_class.stats.values_at(:accepted, :turned_away).sum).to eq(20)
    end
  end
end
