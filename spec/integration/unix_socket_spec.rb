# frozen_string_literal: true

require "logger"
require "pathname"
require "socket"
require "tmpdir"

# Servers on a Unix-domain socket: `:unix`.
RSpec.describe EventMachine::WebSocket, "on a Unix socket", :extension do
  include HttpClient

  around do |example|
    Dir.mktmpdir("unix") do |directory|
      @directory = directory
      example.run
    end
  end

  def path = File.join(@directory, "app.sock")
  def names = Dir.children(@directory)

  def serve_unix(options = {}, &block)
    serve({ port: nil, unix: path, **options }, &block)
  end

  def visit(draft = Drafts::RFC, **request) = connect(draft, port: 80, path: path, **request)
  def mode = File.stat(path).mode & 0o777

  describe "and its file" do
    it "has permissions for its user and its group, and nothing is beside it" do
      serve_unix
      expect([File.stat(path).ftype, mode, names]).to eq(["socket", 0o660, ["app.sock"]])
    end

    it "has the :mode that is asked for, whatever the umask is" do
      before = File.umask(0o077)
      serve_unix(mode: 0o666, unix: Pathname(path))
      expect(mode).to eq(0o666)
    ensure
      File.umask(before)
    end

    it "is never there with other permissions than that" do
      seen = []
      watching = Thread.new do
        until Thread.current[:done]
          Dir.children(@directory).each do |name|
            seen << name if name == "app.sock" && mode != 0o600
          end
          Thread.pass
        end
      rescue Errno::ENOENT
        retry
      end
      before = File.umask(0)
      20.times { serve_unix(mode: 0o600).stop }
      watching[:done] = true
      watching.join
      expect(seen).to be_empty
    ensure
      File.umask(before)
    end

    it "takes the place of one that nobody listens on" do
      UNIXServer.new(path).close
      serve_unix
      expect(visit.response[:status]).to include("101")
    end

    it "is left to a program that listens on it, whose clients may not even be accepted" do
      other = UNIXServer.new(path)
      other.listen(0)
      Array.new(3) { other.dup }.each(&:close)
      waiting = [UNIXSocket.new(path)]
      expect { serve_unix }.to raise_error(
        Errno::EADDRINUSE,
        "Address already in use - cannot listen on #{path}: end the other program that does, or " \
        "choose another :unix"
      )
      expect([UNIXSocket.new(path).tap { |it| waiting << it }.closed?, names]).to eq(
        [false, ["app.sock"]]
      )
    ensure
      [*waiting, other].each(&:close)
    end

    it "does not take the place of one that is no socket" do
      [-> { File.write(path, "mine") }, -> { File.symlink("/nowhere", path) }, lambda {
                                                                                 Dir.mkdir(path)
                                                                               }]
        .each do |make|
        make.call
        expect { serve_unix }
          .to raise_error(ArgumentError, "unix: #{path} is there, and is no socket: remove it")
        expect(names).to eq(["app.sock"])
        FileUtils.rm_rf(path)
      end
    end

    it "is removed when the server stops listening, while clients go on" do
      serve_unix
      client = visit
      open_connection
      server.call { EM.stop_server(server.signature) }
      expect(names).to be_empty
      client.text("still")
      expect(client.read_text).to eq("still")
    end

    it "is left where another has taken its place" do
      serve_unix
      File.rename(path, File.join(@directory, "old"))
      successor = UNIXServer.new(path)
      server.stop
      expect(names).to contain_exactly("old", "app.sock")
    ensure
      successor&.close
    end

    it "may be served again as soon as it is free" do
      serve_unix
      server.call { EM.stop_server(server.signature) }
      _, port = server.also(port: nil, unix: path, &method(:echo))
      expect([port, visit.response[:status]]).to match([nil, /101/])
    end

    it "is not removed by a forked child that ends" do
      serve_unix
      pid = fork { exit!(0) }
      Process.wait(pid)
      expect(names).to eq(["app.sock"])
    end

    {
      "a directory that is not there" => ["no/app.sock", Errno::ENOENT,
                                          /there is no such directory/],
      "a path that is too long" => ["#{"x" * 120}.sock", Errno::ENAMETOOLONG, /cannot listen on/]
    }.each do |what, (name, error, text)|
      it "says so of #{what}" do
        expect { serve_unix(unix: File.join(@directory, name)) }.to raise_error(error, text)
        expect(names).to be_empty
      end
    end

    {
      { mode: 0o1000 } => "mode: 512 is not 0 to 511",
      { mode: "0660" } => 'mode: "0660" is no number: give an Integer or a Float',
      { unix: 3 } => "unix: an object of Integer is no path",
      { reuse_port: true } =>
        "reuse_port: give it with :host and :port, and neither :unix nor :socket",
      { socket: 3 } => "unix: there is a :socket, too: give one"
    }.each do |options, text|
      it "says \"#{text}\"" do
        expect { serve_unix(options) }.to raise_error(ArgumentError, text)
      end
    end
  end

  Drafts::ALL.each do |draft|
    it "serves draft #{draft.number} as on TCP" do
      serve_unix
      client = visit(draft)
      client.text("hällo")
      expect(client.read_text).to eq("hällo")
      client.close(1000)
      expect(client.read(:close)).to be_truthy
    end
  end

  [{},
   { tcp_nodelay: false, compression: true, threads: 2, max_connections_per_ip: 1 }].each do |way|
    it "carries large messages both ways with #{way.inspect}" do
      serve_unix({ **way })
      clients = Array.new(3) { visit }
      clients.each do |client|
        client.binary("x" * 5_000_000)
        expect(client.read(:binary).bytesize).to eq(5_000_000)
      end
    end
  end

  it "serves by TLS" do
    serve_unix(secure: true, tls_options: Certificate.tls_options) do |ws|
      echo(ws)
      ws.onopen { |handshake| ws.send([handshake.secure?, ws.get_cipher_protocol].inspect) }
    end
    client = visit(tls: true)
    expect(client.read_text).to eq('[true, "TLSv1.3"]')
    client.text("x" * 300_000)
    expect(client.read_text.size).to eq(300_000)
    client.close(1000)
    expect(client.read(:close)).to eq([1000].pack("n"))
  end

  it "answers as EventMachine does for the addresses" do
    serve_unix do |ws|
      ws.onopen do |handshake|
        note(:open, [ws.get_peername, ws.get_sockname, ws.remote_ip, handshake.remote_ip])
      end
      ws.onclose { note(:close, [ws.get_peername, ws.remote_ip]) }
    end
    client = visit
    peer, own, *ips = next_event(:open).value
    expect([peer, Socket.unpack_sockaddr_un(peer), ips]).to eq(["\x01\x00".b, "", [nil, nil]])
    expect([own, server.call do
                   EM.get_sockname(server.signature)
                 end].map { |it| Socket.unpack_sockaddr_un(it) })
      .to eq([path, path])
    client.disconnect
    expect(next_event(:close).value).to eq([nil, nil])
  end

  it "is named in the metrics, and in no line of the log" do
    lines = StringIO.new
    described_class.logger = Logger.new(lines)
    serve_unix
    visit.disconnect
    2.times { next_event }
    expect(described_class.metrics).to include(%(em_websocket_connections{server="unix:#{path}"}))
    expect(lines.string).to include("opened id=").and(satisfy { |text| !text.include?(" ip=") })
  ensure
    described_class.logger = nil
  end

  it "aborts a client that does not read, and notices one that is gone" do
    serve_unix(write_timeout: 0.4)
    visit
    ws = open_connection
    server.call { 400.times { ws.send("x" * 100_000) } }
    expect(next_event.name).to eq(:close)
    visit.reset
    expect([next_event(:open), next_event(:close)]).to all(be_truthy)
  end

  it "lets a client read what was sent, whatever of its own was not read" do
    serve_unix do |ws|
      ws.onmessage do |text|
        next unless text == "last"

        ws.pause
        ws.send(text)
        ws.close_connection(true)
      end
    end
    client = visit
    client.text("last")
    client.write(client.encode(:text, "x" * 100_000))
    expect([client.read_text, client.read_frame]).to eq(["last", :eof])
  end

  describe "behind a proxy" do
    forwarded = { "X-Forwarded-For" => "6.6.6.6, 192.0.2.7", "X-Forwarded-Proto" => "https" }

    def telling(options)
      serve_unix(options) do |ws|
        if options[:app_raw]
          Kernel.instance_method(:extend).bind_call(ws,
                                                    Transports::PASSED_THROUGH)
        end
        ws.onopen do |handshake|
          note(:open, [ws.remote_ip, handshake.remote_ip, handshake.secure?])
        end
        ws.onerror { |error| note(:error, error.message) }
      end
    end

    [false, true].each do |raw|
      describe "where bytes #{raw ? "pass" : "do not pass"} through Ruby" do
        it "believes it if :trusted_proxies names unix" do
          telling(trusted_proxies: ["unix", "10.0.0.0/8"], app_raw: raw)
          visit(headers: forwarded)
          expect(next_event(:open).value).to eq(["192.0.2.7", "192.0.2.7", true])
        end

        it "believes nobody otherwise" do
          telling(trusted_proxies: ["0.0.0.0/0", "::/0"], app_raw: raw)
          visit(headers: forwarded)
          expect(next_event(:open).value).to eq([nil, nil, false])
        end
      end
    end

    it "believes it on EventMachine's own Unix sockets, too" do
      signatures = Mailbox.new
      run_reactor do
        EM.start_unix_domain_server(path, EM::WebSocket::Connection,
                                    trusted_proxies: "unix") do |ws|
          ws.onopen { |handshake| signatures << [ws.remote_ip, handshake.remote_ip] }
        end
      end
      visit(headers: forwarded)
      expect(signatures.pop).to eq(%w[192.0.2.7 192.0.2.7])
    end

    [["unix"], true].each do |proxies|
      it "takes the PROXY protocol with proxy_protocol: #{proxies.inspect}" do
        telling(proxy_protocol: proxies)
        client = dial(port: 80, path: path)
        client.write("PROXY TCP4 192.0.2.7 192.0.2.1 5 80\r\n")
        client.open
        expect(next_event(:open).value).to eq(["192.0.2.7", "192.0.2.7", false])
      end
    end

    it "closes those who come by it where it is not among the proxies" do
      telling(proxy_protocol: ["127.0.0.1"])
      client = dial(port: 80, path: path)
      client.write("PROXY TCP4 192.0.2.7 192.0.2.1 5 80\r\n")
      expect(client.open).to be_nil
    end

    it "counts clients as the proxy says who they are, and nobody whom it does not name" do
      telling(trusted_proxies: ["unix"], max_connections_per_ip: 1, handshakes_per_second: 2)
      expect(Array.new(3) { visit.response[:status] }).to all(include("101"))
      named = ["192.0.2.7", "192.0.2.8", "192.0.2.7"].map do |client|
        visit(headers: { "X-Forwarded-For" => client }).response[:status][/\d{3}/]
      end
      expect(named).to eq(%w[101 101 503])
      expect(described_class.stats).to include(turned_away_by_ip: 1)
    end
  end

  it "answers plain HTTP, shows pages of this machine's to nobody, and has a Rack environment" do
    application = lambda { |env|
      [200, {}, [env.values_at("REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT").inspect]]
    }
    serve_unix(http: { "/health" => :health, "/live" => :live }, rack: application)
    answers = ["/health", "/live", "/"].map do |target|
      response = respond_to(dial(port: 80, path: path), "GET #{target} HTTP/1.1\r\nHost: x\r\n\r\n")
      [response.status, response.body[0, 40]]
    end
    expect(answers).to match([[200, "OK"], [403, anything], [200, '[nil, "x", "80"]']])
  end

  it "refuses those past :max_connections with 503" do
    serve_unix(max_connections: 1)
    visit
    expect(visit.response[:status]).to include("503")
  end
end
