# frozen_string_literal: true

require "eventmachine"
require_relative "errors"
require_relative "forks"
require_relative "servers"
require_relative "transport/attached_server"

module EventMachine
  module WebSocket
    # EventMachine's functions that take a signature, or count. With one of ours each does what it
    # says, or raises a {WebSocketError}: EventMachine does not know them, and ends the process over
    # many of them.
    #
    # @api private
    module Signatures
      # EventMachine counts its own signatures up from 1; ours are greater than this.
      FIRST = 1 << 48

      # Ours are less than this.
      PAST_ALL = 1 << 62

      # Methods of a connection by the functions, with the answer where the connection is gone.
      METHODS = {
        connection_paused?: [:paused?, false],
        get_cipher_bits: [:get_cipher_bits, nil],
        get_cipher_name: [:get_cipher_name, nil],
        get_cipher_protocol: [:get_cipher_protocol, nil],
        get_comm_inactivity_timeout: [:comm_inactivity_timeout, 0.0],
        get_idle_time: [:get_idle_time, nil],
        get_peer_cert: [:get_peer_cert, nil],
        get_peername: [:get_peername, nil],
        get_pending_connect_timeout: [:pending_connect_timeout, 0.0],
        get_proxied_bytes: [:get_proxied_bytes, 0],
        get_sni_hostname: [:get_sni_hostname, nil],
        get_subprocess_pid: [:get_pid, nil],
        get_subprocess_status: [:get_status, nil],
        watch_only?: [:watch_only?, false]
      }.freeze

      # Functions that change something, and answer whether there was anything to change.
      CHANGES = {
        pause_connection: :pause,
        resume_connection: :resume,
        set_comm_inactivity_timeout: :comm_inactivity_timeout=,
        set_pending_connect_timeout: :pending_connect_timeout=
      }.freeze

      # The functions that need a socket of EventMachine's, or are no connection's at all.
      IMPOSSIBLE = %i[
        detach_fd get_file_descriptor get_sock_opt is_notify_readable is_notify_writable
        send_datagram set_notify_readable set_notify_writable set_sock_opt set_tls_parms start_proxy
        start_tls stop_proxy unwatch_filename unwatch_pid
      ].freeze

      # Methods are the library's own, whatever an application has made of them: its own may call
      # these functions.
      #
      # @return [Object] what the method of a connection answers; `gone` where it is not there
      def self.call(signature, name, gone, arguments)
        connection = Servers.connection(signature) if signature < PAST_ALL
        return gone unless connection

        Transport::SocketMethods.instance_method(name).bind_call(connection, *arguments)
      end

      # @return [Integer] how many bytes; -1 where the connection is not there
      def self.send_bytes(signature, data)
        signature < PAST_ALL ? Servers.send_data(signature, data) : -1
      end

      # @return [Boolean] whether a signature is of this library, its owner there or gone
      def self.ours?(signature)
        signature.is_a?(Integer) && signature > FIRST
      end

      METHODS.each do |name, (method, gone)|
        define_method(name) do |signature, *arguments|
          next super(signature, *arguments) unless Signatures.ours?(signature)

          Signatures.call(signature, method, gone, arguments)
        end
      end

      CHANGES.each do |name, method|
        define_method(name) do |signature, *arguments|
          next super(signature, *arguments) unless Signatures.ours?(signature)

          Signatures.call(signature, method, :gone, arguments) != :gone
        end
      end

      IMPOSSIBLE.each do |name|
        define_method(name) do |signature, *arguments|
          # A proxy has two ends.
          ours = Signatures.ours?(signature) ||
                 (name == :start_proxy && Signatures.ours?(arguments.first))
          next super(signature, *arguments) unless ours

          raise WebSocketError, "#{name}: this connection's socket is not EventMachine's; " \
                                "EM.start_server with #{Connection} makes one whose socket is"
        end
      end

      # A server on EventMachine's own sockets, whose connections are of {Connection}: its options
      # are checked when it starts, not when the first client comes.
      def start_server(*arguments, &block)
        AttachedServer.check(arguments)
        super
      end

      # (see #start_server)
      def attach_server(*arguments, &block)
        AttachedServer.check(arguments)
        super
      end

      # Stops accepting. Connections go on.
      #
      # @param signature [Integer]
      def stop_server(signature)
        Signatures.ours?(signature) ? Servers[signature]&.stop_listening : super
      end

      # (see #stop_server)
      def stop_tcp_server(signature)
        Signatures.ours?(signature) ? Servers[signature]&.stop_listening : super
      end

      # @param signature [Integer]
      # @return [String, nil] the address that is listened on, or that a client has connected to,
      #   packed
      def get_sockname(signature)
        return super unless Signatures.ours?(signature)

        server = Servers[signature]
        server ? server.sockname : Signatures.call(signature, :get_sockname, nil, [])
      end

      # Ends a connection; of a server, stops accepting. What a {Connection} has sent goes first,
      # whoever ends it.
      #
      # @param signature [Integer]
      # @param after_writing [Boolean]
      def close_connection(signature, after_writing)
        if Signatures.ours?(signature)
          server = Servers[signature]
          return server.stop_listening if server

          return Signatures.call(signature, :close_connection, nil, [after_writing])
        end
        Transport.ends(@conns[signature]) if @conns
        super
      end

      # @param signature [Integer]
      # @param data [String]
      # @param size [Integer] how many of its bytes
      # @return [Integer] how many; -1 where the connection is gone
      def send_data(signature, data, size)
        # EventMachine's own sockets come through here with all they send.
        return super unless signature.is_a?(Integer) && signature > FIRST

        Signatures.send_bytes(signature, data.byteslice(0, size))
      end

      # @param signature [Integer]
      # @param filename [String]
      # @return [Integer] how many bytes; -1 where the connection is gone
      def send_file_data(signature, filename)
        return super unless Signatures.ours?(signature)

        Signatures.send_bytes(signature, File.binread(filename))
      end

      # @param signature [Integer]
      # @return [Integer] 0; -1 where the connection is gone
      def report_connection_error_status(signature)
        return super unless Signatures.ours?(signature)

        Signatures.call(signature, :error?, true, []) ? -1 : 0
      end

      # @param handler [EventMachine::Connection]
      # @raise [WebSocketError] where its socket is not EventMachine's
      def reconnect(server, port, handler)
        return super unless Signatures.ours?(handler.signature)

        raise WebSocketError, "reconnect: this connection's socket is not EventMachine's"
      end

      # An accepted connection whose block, or whose `initialize`, has not come to its end has not
      # said who gets in: nobody does.
      def event_callback(signature, opcode, argument)
        if opcode == ConnectionUnbound
          connection = @conns[signature]
          Transport.gone(connection)
          begin
            return super
          ensure
            Transport.left(connection)
          end
        end
        is_ours = opcode == ConnectionAccepted && AttachedServer.ours?(@acceptors[signature])
        return super unless is_ours

        begin
          accepted = super
        ensure
          unless accepted
            # EventMachine ends the reactor over the end of a connection that it does not know.
            @conns[argument] ||= EventMachine::Connection.allocate
            close_connection(argument, false)
          end
        end
      end

      # @return [Integer] EventMachine's own connections and servers, and those in the background
      def connection_count
        super + Servers.connection_count
      end
    end

    EventMachine.singleton_class.prepend(Signatures)
  end
end
