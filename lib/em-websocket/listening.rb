# frozen_string_literal: true

require_relative "checks"
require_relative "native"
require_relative "systemd"

module EventMachine
  module WebSocket
    # The place that a server listens on: a `:host` and a `:port`, the path of a `:unix` socket, or
    # a `:socket` that listens already.
    #
    # em-websocket knows the first alone, and needs it: so where there is a `:port`, keys of the
    # other names are the application's own.
    #
    # @api private
    module Listening
      # EventMachine's text of an address that cannot be listened on, which programs may know.
      NO_ACCEPTOR = "no acceptor (port is in use or requires root privileges)"

      # Options of other places than a host and a port.
      PLACES = %i[socket unix mode].freeze

      # Permissions of a socket's file: of its user, and of its group, which the proxy's user is in.
      MODE = 0o660

      private_constant :MODE

      class << self
        # @param options [Options]
        # @return [Native::Server]
        # @raise [ArgumentError] if it is no place that can be listened on
        # @raise [RuntimeError, SystemCallError] if it cannot be listened on
        def open(options)
          return by_address(options) unless options[:port].nil?

          no_reuse(options)
          return by_path(options) if options[:unix] && !options[:socket]
          return by_address(options) unless options[:socket]
          raise ArgumentError, "unix: there is a :socket, too: give one" if options[:unix]

          Native::Server.bind_socket(descriptor(options[:socket]), options.settings)
        end

        private

        def by_address(options)
          address = options.address
          passed_over(options)
          Native::Server.bind(*address, options[:reuse_port] || false, options.settings)
        rescue SystemCallError, SocketError
          raise NO_ACCEPTOR
        end

        def by_path(options)
          path = Checks.path(:unix, options[:unix])
          mode = Checks.integer(:mode, options[:mode] || MODE, 0..0o777)
          Native::Server.bind_path(path, mode, options.settings)
        end

        def no_reuse(options)
          return unless options[:reuse_port] && (options[:unix] || options[:socket])

          raise ArgumentError, "reuse_port: give it with :host and :port, and neither :unix nor " \
                               ":socket"
        end

        # @return [Integer]
        def descriptor(socket)
          case socket
          when Integer then socket
          when :systemd then Systemd.descriptor
          when Array then named(socket)
          else number(socket)
          end
        end

        def named(socket)
          manager, name, *others = socket
          unknown(socket) unless manager == :systemd && name.is_a?(String) && others.empty?

          Systemd.descriptor(name)
        end

        def number(socket)
          unknown(socket) unless socket.respond_to?(:to_io)
          socket.to_io.fileno
        rescue IOError
          raise ArgumentError, "socket: it is closed"
        end

        def unknown(socket)
          raise ArgumentError, "socket: #{Checks.shown(socket)} is no socket that listens: give " \
                               "a TCPServer, UNIXServer or Socket, a descriptor's number, " \
                               ":systemd, or [:systemd, \"name\"]"
        end

        # Warns of a key that nobody but this library has a use for.
        def passed_over(options)
          ours = case options[:socket]
                 when :systemd, BasicSocket then :socket
                 when Array then :socket if options[:socket].first == :systemd
                 end
          ours ||= :unix if options[:unix].is_a?(String) && options[:unix].b.start_with?("/")
          return unless ours

          warn("em-websocket: #{ours.inspect} is passed over, for there is a :port: give one")
        rescue ThreadError
          # In a trap amid another write to the same stream: the warning is lost.
          nil
        end
      end
    end
  end
end
