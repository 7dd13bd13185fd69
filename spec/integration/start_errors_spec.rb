# frozen_string_literal: true

require "open3"
require "rbconfig"
require "tmpdir"

# Errors of mistakes before the first client comes, as somebody reads them: what is wrong, where,
# and what to do.
RSpec.describe EventMachine::WebSocket, "and mistakes at its start", :extension do
  # Starts a server; the error that it ends in, as Ruby prints it where nobody rescues it.
  def error_of(options, &block)
    block ||= proc {}
    run_reactor { described_class.run({ host: "127.0.0.1", port: 0, **options }, &block) }.value
    nil
  rescue RuntimeError, ArgumentError => e
    e
  end

  # Its text, and those of what has caused it.
  def texts(error)
    error ? [error.message, *texts(error.cause)] : []
  end

  numbers = {
    { port: "http" } =>
      'port: "http" is no number: give one from 0 to 65535 (0: the system chooses)',
    { port: 70_000 } =>
      "port: 70000 is no whole number from 0 to 65535: give one (0: the system chooses)",
    { host: nil } =>
      'host: nil is no name or address: give a String such as "127.0.0.1", or "" for all of IPv4',
    { outbound_limit: "10 MB" } =>
      'outbound_limit: "10 MB" is no number: give an Integer or a Float',
    { ping_interval: "30 s" } =>
      'ping_interval: "30 s" is no number of seconds: give 0 or more, such as 30 or 0.5',
    { ping_interval: -1 } =>
      "ping_interval: -1 is no number of seconds: give 0 or more, such as 30 or 0.5",
    { max_headers: -1 } => "max_headers: -1 is negative: give 1 or more, or 0 for the default",
    { inbound_limit: -1 } => "inbound_limit: -1 is negative: give 1 or more, or 0 for the default",
    { max_headers: 1.5 } => "max_headers: 1.5 is no whole number: give an Integer",
    { threads: 5000 } => "threads: 5000 is not 1 to 1024",
    { graceful: "yes" } =>
      'graceful: "yes" is neither true or false nor seconds: give one of them, such as 10, or ' \
      "a Hash such as { timeout: 10, within: 30 }"
  }
  lists = {
    { versions: [14] } =>
      "versions: [14] is no Array with some of 13, 8, 7, 6, 5, 3, 2, 1, 76, 75",
    { origins: :any } => "origins: :any is no String, Regexp or nil",
    { protocols: "a b" } =>
      'protocols: "a b" is no name of a subprotocol: give Strings without spaces, such as ' \
      '"chat.v1", or an object that responds to call',
    { compression: { levle: 3 } } =>
      'compression: unknown key "levle": give some of :level, :window_bits, :memory_level, ' \
      ":threshold, :context_takeover",
    { compression: { level: 11 } } => "compression: level is 11, not 0 to 9",
    { compression: "yes" } =>
      "compression: an object of String is no Hash: give true, or a Hash such as { level: 3 }"
  }
  tls = {
    { tls_options: "key.pem" } =>
      "tls_options: an object of String is no Hash: " \
      "give a Hash with :private_key_file and :cert_chain_file",
    { tls_options: { "cert" => "x" } } =>
      'tls_options: the key "cert" must be the Symbol :cert',
    { tls_options: { private_key_file: 3 } } =>
      "tls_options[:private_key_file]: an object of Integer is no path",
    { tls_options: { private_key_file: Certificate.key_file } } =>
      "a private key was given without its certificate: " \
      "pass tls_options[:cert_chain_file] or [:cert] too"
  }
  [numbers, lists, tls.transform_keys { |options| { secure: true, **options } }].each do |table|
    table.each do |options, text|
      it "says \"#{text}\"" do
        expect(error_of(options)&.message).to eq(text)
      end
    end
  end

  it "says so where a file of :tls_options is not there" do
    expect { error_of({ secure: true, tls_options: { private_key_file: "/nowhere" } }) }
      .to raise_error(EventMachine::FileNotFoundException,
                      "could not find /nowhere (tls_options[:private_key_file]): check the path")
  end

  it "says so where the options are no Hash" do
    expect { described_class.start("127.0.0.1") {} }.to raise_error(
      ArgumentError,
      "options: an object of String is no Hash: give a Hash with :host and :port"
    )
  end

  it "says so where no block is given" do
    error = run_reactor { described_class.run(host: "127.0.0.1", port: 0) }.value
  rescue ArgumentError => e
    expect(e.message).to eq(
      "no block: give EM::WebSocket.run or start one, which sets the callbacks of each connection"
    )
  else
    raise "it has started: #{error.inspect}"
  end

  # em-websocket's programs know EventMachine's text; the reason is the exception's cause.
  describe "and an address that cannot be listened on" do
    def causes(options)
      error = error_of(options)
      [error.cause.class, *texts(error)]
    end

    no_acceptor = "no acceptor (port is in use or requires root privileges)"

    it "says that the port is taken" do
      other = TCPServer.new("127.0.0.1", 0)
      port = other.local_address.ip_port
      expect(causes(port: port)).to eq(
        [Errno::EADDRINUSE, no_acceptor,
         "Address already in use - cannot listen on 127.0.0.1:#{port}: " \
         "end the other program that does, or choose another :port"]
      )
    ensure
      other.close
    end

    it "says that no interface has the address" do
      expect(causes(host: "192.0.2.1", port: 8080)).to eq(
        [Errno::EADDRNOTAVAIL, no_acceptor,
         "Cannot assign requested address - cannot listen on 192.0.2.1:8080: " \
         "no interface of this machine has this :host"]
      )
    end

    it "says that the name is none" do
      kind, *said = causes(host: "host.invalid", port: 8080)
      expect(kind).to eq(SocketError)
      expect(said).to match(
        [no_acceptor, /\Acannot listen on host\.invalid:8080: .+: check the :host\z/]
      )
    end

    it "says that the port needs a privilege" do
      lowest = Integer(File.read("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
      skip "every port is free to everybody here" if lowest < 2
      code = <<~RUBY
        Process::Sys.setuid(65_534) if Process.uid.zero?
        EM.run { EM::WebSocket.run(host: "127.0.0.1", port: 1) {} }
      RUBY
      said, = Open3.capture2e(RbConfig.ruby, "-I", $LOAD_PATH.first, "-rem-websocket", "-e", code)
      expect(said).to include(
        no_acceptor,
        "Permission denied - cannot listen on 127.0.0.1:1: ports below #{lowest} need root or " \
        "CAP_NET_BIND_SERVICE: choose another :port"
      )
    end

    it "says what is missing where no reactor runs" do
      described_class.run(host: "127.0.0.1", port: 0) {}
    rescue RuntimeError => e
      expect(texts(e)).to eq(
        ["eventmachine not initialized: evma_create_tcp_server",
         "no reactor runs: call EM::WebSocket.run in the block of EM.run, or EM::WebSocket.start"]
      )
    else
      raise "it has started"
    end
  end

  it "says so where the extension is not built" do
    Dir.mktmpdir do |directory|
      FileUtils.cp_r(File.expand_path("../../lib", __dir__), directory)
      FileUtils.rm(Dir[File.join(directory, "lib/**/*.so")])
      said, = Open3.capture2e(RbConfig.ruby, "-I", File.join(directory, "lib"), "-e",
                              'require "em-websocket-rs"')
      expect(said).to include(
        "em-websocket-rs: the extension is not built for ruby #{RUBY_VERSION}: " \
        "run `rake compile` in a checkout, `gem pristine em-websocket-rs` for an installed gem"
      )
    end
  end

  # Applications keep keys of their own in the options: nothing is refused, and only names that
  # are close to one of ours are spoken of.
  describe "and the names of options" do
    # Other examples may have been warned of the same names.
    before { EM::WebSocket.const_get(:Spelling).instance_variable_get(:@warned).clear }

    def said(options, attached = nil)
      original = $stderr
      $stderr = StringIO.new
      Server.new(options, attached) {}.stop
      $stderr.string
    ensure
      $stderr = original
    end

    {
      { tls_option: {} } => "unknown option :tls_option; did you mean :tls_options?",
      { "secure" => true } => 'unknown option "secure"; did you mean :secure?',
      { pingInterval: 3 } => "unknown option :pingInterval; did you mean :ping_interval?",
      { max_conections: 3 } => "unknown option :max_conections; did you mean :max_connections?",
      { secure: true, tls_options: Certificate.tls_options.merge(private_key_filee: 1) } =>
        "unknown option :private_key_filee in :tls_options; did you mean :private_key_file?",
      { secure: true, tls_options: Certificate.tls_options.merge(chain: 1) } =>
        "unknown option :chain in :tls_options; use :private_key_file, :cert_chain_file, " \
        ":dhparam, :client_ca_file, :private_key, :cert, :private_key_pass, :cipher_list, " \
        ":ecdh_curve, :verify_peer, :fail_if_no_peer_cert, :ssl_version, :hosts, :sni_hostname"
    }.each do |options, text|
      it "asks of #{text[/".+"|:\w+/]} what was meant, and serves" do
        expect(said(options)).to eq("em-websocket: #{text}\n")
      end
    end

    it "asks once, however many servers and connections there are" do
      spoken = said({ idle_timeuot: 3 }) + said({ idle_timeuot: 3 })
      expect(spoken.lines.size).to eq(1)
    end

    describe "of connections on EventMachine's own sockets" do
      def said_to_clients(options)
        original = $stderr
        $stderr = StringIO.new
        port = run_reactor do
          Server.port_of(EM.start_server("127.0.0.1", 0, EM::WebSocket::Connection, options))
        end.value
        2.times { connect(port: port).disconnect }
        $stderr.string
      ensure
        $stderr = original
      end

      it "asks once, too" do
        expect(said_to_clients({ orgins: nil }))
          .to eq("em-websocket: unknown option :orgins; did you mean :origins?\n")
      end

      it "leaves the address alone, which is EventMachine's" do
        expect(said_to_clients({ "host" => "::1", "port" => "80", prot: 1 })).to eq("")
      end
    end

    own = { block: 1, app_key: 2, socket: 3, path: 4, channel: 5, logger: 6, name: 7, user: 8,
            redis: 9, debug_mode: 10, timeout: 11, root: 12, tls: 13, ssl: 14, "x" => 15, nil => 16,
            Object => 17, ports: 18, hosts: 19, secure: nil }
    own.each do |name, value|
      it "leaves an application's own #{name.inspect} alone" do
        expect(said({ name => value })).to eq("")
      end
    end

    it "leaves what is close to an option that is given alone" do
      expect(said({ version: "1.0", versions: [13] })).to eq("")
    end
  end
end
